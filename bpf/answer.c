// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "answer.h"
#include "request.h"

/* Holds the longest answer: a path and a reason for each refused cgroup, and all counters. */
#define LINE_SIZE (CGROUPS_MAX * (2 * PATH_SIZE + 256) + 16384)

static char line[LINE_SIZE];
static size_t length;

static void add(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof(line) - length)
		length += (size_t)n;
}

static void add_text(const char *text)
{
	add("\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			add("\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			add("\\u%04x", c);
		else
			add("%c", c);
	}
	add("\"");
}

static void add_key(const char *key)
{
	if (length && line[length - 1] != '{' && line[length - 1] != '[')
		add(",");
	if (key)
		add("\"%s\":", key);
}

void answer_begin(bool ok, const char *command)
{
	length = 0;
	add("{");
	answer_bool("ok", ok);
	answer_string("cmd", command);
}

void answer_string(const char *key, const char *value)
{
	add_key(key);
	add_text(value);
}

void answer_number(const char *key, uint64_t value)
{
	add_key(key);
	add("%llu", (unsigned long long)value);
}

void answer_bool(const char *key, bool value)
{
	add_key(key);
	add(value ? "true" : "false");
}

void answer_open(const char *key, char bracket)
{
	add_key(key);
	add("%c", bracket);
}

void answer_close(char bracket)
{
	add("%c", bracket);
}

bool answer_send(void)
{
	size_t done = 0;

	add("}\n");
	while (done < length) {
		ssize_t n = write(STDOUT_FILENO, line + done, length - done);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			done += (size_t)n;
	}
	return true;
}

bool refuse(const char *command, const char *reason, int error)
{
	answer_begin(false, command);
	answer_string("reason", reason);
	if (error)
		answer_string("error", strerrorname_np(error) ? strerrorname_np(error) : "unknown");
	return answer_send();
}
