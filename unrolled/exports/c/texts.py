"""The text around what is compiled: the header, the file, and a program that uses them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping


def filled(text: str, fields: Mapping[str, str]) -> str:
    """`text` with each @{name}@ replaced."""
    return re.sub(r"@\{(\w+)\}@", lambda m: fields[m[1]], text).lstrip("\n")


def tidy(text: str) -> str:
    """No more than one empty line together."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text))


def comment(text: str) -> str:
    """Words that stay within a C comment."""
    return "\n".join(textwrap.wrap(text.replace("*/", "* /"), 110, subsequent_indent="   "))


def quoted(text: str) -> str:
    """A C string literal: printable ASCII as it is, everything else by the octal numbers of its UTF-8 bytes."""
    plain = (
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}"
        for b in text.encode("utf-8", "surrogatepass")
    )
    return '"' + "".join(plain) + '"'


HEADER = """
/* A sequence model, one step at a time. Written by unrolled @{version}@.
   @{about}@

       unrolled_state state;
       unrolled_start(&state);
       unrolled_step(@{weights_given}@&state, input, answer);

   All that changes is the caller's: any number of states, on any number of threads. A state may be copied. */
#ifndef UNROLLED_MODEL_H
#define UNROLLED_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UNROLLED_VERSION "@{version}@"
#define UNROLLED_SHA256 "@{sha256}@" /* of the weights */
#define UNROLLED_INPUTS @{inputs}@ /* numbers a step, made by the codec in model.json: see docs/deploy.md */
#define UNROLLED_ANSWERS @{answers}@
@{vocabulary}@@{capacity}@
/* What the functions return. Anything but UNROLLED_OK leaves state and answer as they were. */
enum {
    UNROLLED_OK = 0,
    UNROLLED_OUTSIDE = 1,   /* an input that isn't finite, a token or a position the model has no row for */
    UNROLLED_FULL = 2,      /* as many steps as attention has room for: start again */
    UNROLLED_UNREADABLE = 3 /* the file of weights */
};

/* What the model remembers of the sequence so far. */
typedef struct {
@{state}@
} unrolled_state;
@{weights_type}@
@{names}@
/* Forgets everything: the next step is a sequence's first. */
void unrolled_start(unrolled_state *state);

/* One step: reads `input`, moves `state` on and writes what the model says now to `answer`. */
int unrolled_step(@{weights_argument}@unrolled_state *state, @{input}@, float answer[UNROLLED_ANSWERS]);

#ifdef __cplusplus
}
#endif
#endif
"""

SOURCE = """
/* The model of model.h. Needs nothing but the C library: cc -O3 -march=native -c model.c */
#include "model.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
#define UNROLLED_RESTRICT __restrict
#else
#define UNROLLED_RESTRICT restrict
#endif

@{table}@
@{weights}@

@{support}@

void unrolled_start(unrolled_state *state) {
    memset(state, 0, sizeof *state);
@{start}@
}
@{weights_load}@
@{weights_names}@
int unrolled_step(@{weights_argument}@unrolled_state *state, @{step_input}@, float answer[UNROLLED_ANSWERS]) {
@{declared}@
@{guards}@
@{lines}@
    return UNROLLED_OK;
}
"""

WEIGHTS_TYPE = """
/* The numbers of model.bin, kept by the caller: static or on the heap, not on the stack. */
typedef struct {
@{fields}@
} unrolled_weights;

/* Reads model.bin (of a little-endian machine). UNROLLED_OK, or UNROLLED_UNREADABLE: no such file, or not this model's. */
int unrolled_load(unrolled_weights *weights, const char *path);
"""

WEIGHTS_LOAD = """
int unrolled_load(unrolled_weights *weights, const char *path) {
    FILE *file = fopen(path, "rb");
    int whole = file != NULL;
    if (!file) return UNROLLED_UNREADABLE;
@{reads}@
    whole = whole && fgetc(file) == EOF;
    fclose(file);
    return whole ? UNROLLED_OK : UNROLLED_UNREADABLE;
}
"""

_EXAMPLE = """
/* Reads @{reads}@ from standard input and prints the answers after each step, one line a step.
   An empty line begins a new sequence.

       cc -O3 -march=native -o example example.c model.c -lm && echo "@{sample}@" | ./example */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

@{declarations}@
int main(@{parameters}@) {
    static unrolled_state state;
    static float answer[UNROLLED_ANSWERS];
    char word[64], *end;
    int length = 0, count = 0, fresh = 1, sign;
@{setup}@    unrolled_start(&state);
    do {
        sign = getchar();
        if (sign != ' ' && sign != '\\t' && sign != '\\r' && sign != '\\n' && sign != EOF) {
            if (length + 1 < (int)sizeof word) word[length++] = (char)sign;
            fresh = 0;
            continue;
        }
        if (length > 0) {
            word[length] = 0;
            length = 0;
            @{take}@
            if (*end) {
                fprintf(stderr, "%s: no @{one}@\\n", word);
                return 2;
            }
            if (++count == UNROLLED_INPUTS) {
                int code = unrolled_step(@{given}@&state, input, answer);
                count = 0;
                if (code != UNROLLED_OK) {
                    fprintf(stderr, "step refused with code %d (see model.h)\\n", code);
                    return code;
                }
                for (int i = 0; i < UNROLLED_ANSWERS; ++i) printf(i ? " %.9g" : "%.9g", (double)answer[i]);
                putchar('\\n');
            }
        }
        if (sign == '\\n') {
            if (fresh) unrolled_start(&state);
            fresh = 1;
        }
    } while (sign != EOF);
    return 0;
}
"""

_LOADING = """    if (unrolled_load(&weights, count_of_words > 1 ? words[1] : "model.bin") != UNROLLED_OK) {
        fprintf(stderr, "model.bin: not readable, or another model's\\n");
        return UNROLLED_UNREADABLE;
    }
"""


def _example(tokens: bool, apart: bool) -> str:
    fields = {
        "reads": "token ids" if tokens else "numbers, UNROLLED_INPUTS a step,",
        "one": "token id" if tokens else "number",
        "sample": "0 1 2" if tokens else "0.5 1.0 ...",
        "declarations": ("static unrolled_weights weights;\n" if apart else "")
        + ("" if tokens else "static float input[UNROLLED_INPUTS];\n"),
        "parameters": "int count_of_words, char **words" if apart else "void",
        "setup": ("    int64_t input = 0;\n" if tokens else "") + (_LOADING if apart else ""),
        "take": "input = (int64_t)strtoll(word, &end, 10);"
        if tokens
        else "input[count] = strtof(word, &end);",
        "given": "&weights, " if apart else "",
    }
    return filled(_EXAMPLE, fields)


EXAMPLE = {(tokens, apart): _example(tokens, apart) for tokens in (False, True) for apart in (False, True)}
