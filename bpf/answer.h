/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One line of standard output: a JSON object, built member by member. */
#ifndef LAZYSCOPE_BYPASS_ANSWER_H
#define LAZYSCOPE_BYPASS_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

/* Begins {"ok":...,"cmd":"...". Add the members, then call answer_send. */
void answer_begin(bool ok, const char *command);
void answer_string(const char *key, const char *value);
void answer_number(const char *key, uint64_t value);
void answer_bool(const char *key, bool value);
/* Opens an object or a list as the value of a key; with key NULL, as an element of a list. */
void answer_open(const char *key, char bracket);
void answer_close(char bracket);
/* Writes the line. Returns false if the reader has closed the pipe. */
bool answer_send(void);

/* Writes a complete refusal: {"ok":false,"cmd":"...","reason":"..."}; `error`: errno value or 0. */
bool refuse(const char *command, const char *reason, int error);

#endif
