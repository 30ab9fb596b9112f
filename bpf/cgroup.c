// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The cgroups whose sockets are accelerated. A lock allows one loader for each cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include "bypass.skel.h"
#include "engine.h"

struct cgroup {
	char path[PATH_SIZE];
	int fd; /* also the lock: the kernel releases it when the process ends */
	struct bpf_link *sockops, *setsockopt;
};

static struct cgroup cgroups[CGROUPS_MAX];
static unsigned int count;

static bool fail(struct failure *failure, int error, const char *reason)
{
	failure->error = error;
	snprintf(failure->reason, sizeof(failure->reason), "%s", reason);
	return false;
}

static bool open_locked(const char *path, int *fd, struct failure *failure)
{
	struct statfs fs;

	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return fail(failure, errno, "cannot open the cgroup");
	if (fstatfs(*fd, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC)
		return fail(failure, ENOTSUP, "not a cgroup v2 folder");
	if (flock(*fd, LOCK_EX | LOCK_NB))
		return fail(failure, errno, "another loader holds this cgroup");
	return true;
}

static bool attach_links(struct cgroup *cgroup, struct failure *failure)
{
	struct bypass *programs = engine_programs();

	cgroup->setsockopt = bpf_program__attach_cgroup(programs->progs.bypass_setsockopt, cgroup->fd);
	if (!cgroup->setsockopt)
		return fail(failure, errno, "cannot attach to setsockopt of the cgroup");
	cgroup->sockops = bpf_program__attach_cgroup(programs->progs.bypass_sockops, cgroup->fd);
	if (!cgroup->sockops)
		return fail(failure, errno, "cannot attach to sockets of the cgroup");
	return true;
}

static void detach(struct cgroup *cgroup)
{
	bpf_link__destroy(cgroup->sockops);
	bpf_link__destroy(cgroup->setsockopt);
	if (cgroup->fd >= 0)
		close(cgroup->fd);
}

bool cgroup_attach(const char *path, struct failure *failure)
{
	struct cgroup *cgroup = &cgroups[count];

	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(cgroups[i].path, path))
			return true;
	if (count == CGROUPS_MAX)
		return fail(failure, ENOSPC, "too many cgroups");
	memset(cgroup, 0, sizeof(*cgroup));
	snprintf(cgroup->path, sizeof(cgroup->path), "%s", path);
	if (!open_locked(path, &cgroup->fd, failure) || !attach_links(cgroup, failure)) {
		detach(cgroup);
		return false;
	}
	count++;
	return true;
}

static bool named(const struct request *request, const char *path)
{
	for (unsigned int i = 0; i < request->cgroup_count; i++)
		if (!strcmp(request->cgroups[i], path))
			return true;
	return false;
}

void cgroup_keep(const struct request *request)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (named(request, cgroups[i].path))
			cgroups[kept++] = cgroups[i];
		else
			detach(&cgroups[i]);
	}
	count = kept;
}

unsigned int cgroup_count(void)
{
	return count;
}
