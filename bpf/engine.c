// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bypass.skel.h"
#include "engine.h"

static struct bypass *programs;
static struct settings settings;
/* The last warnings of libbpf, newest last. The verifier's verdict is near the end. */
static char warnings[4096];

static int keep_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	size_t length = strlen(warnings);

	if (level != LIBBPF_WARN)
		return 0;
	if (length > sizeof(warnings) / 2) {
		memmove(warnings, warnings + length / 2, length - length / 2 + 1);
		length = strlen(warnings);
	}
	return vsnprintf(warnings + length, sizeof(warnings) - length, format, args);
}

static bool fail(struct failure *failure, int error, const char *what)
{
	size_t length = strlen(warnings), keep = sizeof(failure->reason) - 64;

	failure->error = error;
	snprintf(failure->reason, sizeof(failure->reason), "%s: %s", what,
		 warnings + (length > keep ? length - keep : 0));
	return false;
}

static struct bypass *open_programs(unsigned int log_level)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_level = log_level);

	warnings[0] = '\0';
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(keep_warning);
	return bypass__open_opts(&options);
}

bool engine_probe(unsigned int log_level, struct failure *failure)
{
	struct bypass *probed = open_programs(log_level);
	int error = probed ? -bypass__load(probed) : errno;

	bypass__destroy(probed);
	return error ? fail(failure, error, "the kernel rejects the programs") : true;
}

static void size_tables(unsigned int connections)
{
	bpf_map__set_max_entries(programs->maps.connections, connections);
	bpf_map__set_max_entries(programs->maps.expected, connections);
	bpf_map__set_max_entries(programs->maps.waiting, connections);
	bpf_map__set_max_entries(programs->maps.sockets, 2 * connections);
	bpf_map__set_max_entries(programs->maps.arrived, 2 * connections);
}

static bool attach(struct failure *failure)
{
	int sockets = bpf_map__fd(programs->maps.sockets);
	int error;

	/*
	 * The programs are attached to our own socket map and are released with it: no link is
	 * needed.
	 */
	error = bpf_prog_attach(bpf_program__fd(programs->progs.bypass_arrival), sockets,
				BPF_SK_SKB_VERDICT, 0);
	if (error)
		return fail(failure, -error, "cannot attach to arriving data");
	error = bpf_prog_attach(bpf_program__fd(programs->progs.bypass_message), sockets,
				BPF_SK_MSG_VERDICT, 0);
	if (error)
		return fail(failure, -error, "cannot attach to sent data");
	programs->links.bypass_read = bpf_program__attach(programs->progs.bypass_read);
	if (!programs->links.bypass_read)
		return fail(failure, errno, "cannot attach to reads");
	programs->links.bypass_sent = bpf_program__attach(programs->progs.bypass_sent);
	if (!programs->links.bypass_sent)
		return fail(failure, errno, "cannot attach to writes");
	return true;
}

bool engine_load(const struct request *request, struct failure *failure)
{
	int error;

	programs = open_programs(0);
	if (!programs)
		return fail(failure, errno, "cannot open the programs");
	size_tables((unsigned int)request->connections);
	error = -bypass__load(programs);
	if (error)
		fail(failure, error, "the kernel rejects the programs");
	if (!error && attach(failure))
		return true;
	bypass__destroy(programs);
	programs = NULL;
	return false;
}

bool engine_loaded(void)
{
	return programs != NULL;
}

struct bypass *engine_programs(void)
{
	return programs;
}

static void write_settings(void)
{
	__u32 zero = 0;

	bpf_map_update_elem(bpf_map__fd(programs->maps.settings), &zero, &settings, BPF_ANY);
}

static void write_ports(const struct request *request)
{
	int fd = bpf_map__fd(programs->maps.ports);
	__u16 port;
	__u8 one = 1;

	while (!bpf_map_get_next_key(fd, NULL, &port))
		bpf_map_delete_elem(fd, &port);
	for (unsigned int i = 0; i < request->port_count; i++)
		bpf_map_update_elem(fd, &request->ports[i], &one, BPF_ANY);
}

void engine_configure(const struct request *request, bool insert)
{
	/*
	 * Accept no new connections while the ports change: a half-written list could allow a wrong
	 * port.
	 */
	settings.flags &= ~FLAG_INSERT;
	write_settings();
	write_ports(request);
	settings.message_limit = (__u32)request->message_limit;
	settings.byte_limit = request->byte_limit;
	settings.stream_limit = (__u32)request->stream_limit;
	settings.stream_bytes = (__u32)request->stream_bytes;
	settings.stream_seconds = (__u32)request->stream_seconds;
	settings.flags = (request->only_ports ? FLAG_ONLY_PORTS : 0) | (insert ? FLAG_INSERT : 0) |
			 (insert && request->redirect ? FLAG_REDIRECT : 0);
	write_settings();
}

void engine_off(void)
{
	settings.flags &= ~(FLAG_INSERT | FLAG_REDIRECT);
	write_settings();
}

bool engine_on(void)
{
	return settings.flags & FLAG_INSERT;
}

void engine_unload(void)
{
	engine_off();
	bypass__destroy(programs);
	programs = NULL;
}
