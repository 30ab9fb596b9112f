// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Parses the JSON of requests only: no nested objects, no negative numbers, no fractions. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "request.h"

/* 2^53 - 1: the largest integer that the companion, a JavaScript program, can send exactly. */
#define NUMBER_MAX 9007199254740991ull

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

/* Returns the character that an escape stands for; 0: not supported. Paths do not need \u. */
static char unescape(char c)
{
	switch (c) {
	case '"':
	case '\\':
	case '/':
		return c;
	default:
		return 0;
	}
}

/* Copies a string and returns the position after it; NULL if it is no string or is too long. */
static const char *read_string(const char *p, char *to, size_t size)
{
	size_t n = 0;

	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		char c = *p++;

		if (c == '\\')
			c = unescape(*p++);
		if ((unsigned char)c < ' ' || n + 1 >= size)
			return NULL;
		to[n++] = c;
	}
	to[n] = '\0';
	return p + 1;
}

static const char *read_number(const char *p, uint64_t *to)
{
	const char *start = p;
	uint64_t n = 0;

	while (isdigit((unsigned char)*p)) {
		n = n * 10 + (uint64_t)(*p++ - '0');
		if (n > NUMBER_MAX)
			return NULL;
	}
	if (p == start || *p == '.' || *p == 'e' || *p == 'E')
		return NULL;
	*to = n;
	return p;
}

static const char *read_bool(const char *p, bool *to)
{
	*to = !strncmp(p, "true", 4);
	if (*to)
		return p + 4;
	return strncmp(p, "false", 5) ? NULL : p + 5;
}

static const char *read_item(const char *p, struct request *r, bool is_port)
{
	uint64_t port;

	if (!is_port)
		return r->cgroup_count < CGROUPS_MAX ?
			       read_string(p, r->cgroups[r->cgroup_count++], PATH_SIZE) : NULL;
	p = read_number(p, &port);
	if (!p || port == 0 || port > 65535 || r->port_count == PORTS_MAX)
		return NULL;
	r->ports[r->port_count++] = (uint16_t)port;
	return p;
}

static const char *read_list(const char *p, struct request *r, bool is_port)
{
	if (*p != '[')
		return NULL;
	p = skip_space(p + 1);
	if (*p == ']')
		return p + 1;
	for (;;) {
		p = read_item(p, r, is_port);
		if (!p)
			return NULL;
		p = skip_space(p);
		if (*p == ']')
			return p + 1;
		if (*p != ',')
			return NULL;
		p = skip_space(p + 1);
	}
}

static uint64_t *number_of(struct request *r, const char *key)
{
	const struct {
		const char *key;
		uint64_t *number;
	} numbers[] = {
		{ "byteLimit", &r->byte_limit },	 { "messageLimit", &r->message_limit },
		{ "streamLimit", &r->stream_limit },	 { "streamBytes", &r->stream_bytes },
		{ "streamSeconds", &r->stream_seconds }, { "connections", &r->connections },
		{ "seconds", &r->seconds },		 { "logLevel", &r->log_level },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (!strcmp(numbers[i].key, key))
			return numbers[i].number;
	return NULL;
}

/* Returns the position after the value, or NULL. `*known` says whether the key exists. */
static const char *read_value(const char *p, const char *key, struct request *r, bool *known)
{
	uint64_t *number = number_of(r, key);

	*known = true;
	if (number)
		return read_number(p, number);
	if (!strcmp(key, "cmd"))
		return read_string(p, r->command, sizeof(r->command));
	if (!strcmp(key, "redirect"))
		return read_bool(p, &r->redirect);
	if (!strcmp(key, "onlyPorts"))
		return read_bool(p, &r->only_ports);
	if (!strcmp(key, "cgroups") && !r->has_cgroups) {
		r->has_cgroups = true;
		return read_list(p, r, false);
	}
	if (!strcmp(key, "ports") && !r->has_ports) {
		r->has_ports = true;
		return read_list(p, r, true);
	}
	*known = false;
	return NULL;
}

/* Returns the position after the member; or NULL, with the reason in `*wrong`. */
static const char *read_member(const char *p, struct request *r, const char **wrong)
{
	static char problem[96];
	char key[COMMAND_SIZE];
	bool known;

	*wrong = "not a JSON object";
	p = read_string(p, key, sizeof(key));
	if (!p)
		return NULL;
	p = skip_space(p);
	if (*p != ':')
		return NULL;
	p = read_value(skip_space(p + 1), key, r, &known);
	if (!p) {
		snprintf(problem, sizeof(problem), known ? "%s: invalid value" :
							   "%s: unknown option, or given twice", key);
		*wrong = problem;
	}
	return p;
}

const char *read_request(const char *line, struct request *request)
{
	const char *wrong = "not a JSON object", *p = skip_space(line);

	if (*p != '{')
		return wrong;
	do {
		p = read_member(skip_space(p + 1), request, &wrong);
		if (!p)
			return wrong;
		p = skip_space(p);
	} while (*p == ',');
	if (*p != '}' || *skip_space(p + 1))
		return "not a JSON object";
	return request->command[0] ? NULL : "cmd: missing";
}
