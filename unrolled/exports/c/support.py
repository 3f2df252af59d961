"""The C functions that a program may call; it holds those it does call, and what these call."""

from __future__ import annotations

import re

from unrolled.exports.c.weights import PANEL

# name -> definition; what calls another stands behind it
SUPPORT: dict[str, str] = {}


def _add(text: str) -> None:
    for part in text.strip("\n").split("\n\n"):
        found = re.search(r"unrolled_(\w+)\(", part)
        assert found
        SUPPORT[found[0][:-1]] = part


def needed(program: str) -> str:
    """The definitions that a program's text calls for, in their order."""
    called: set[str] = set()
    texts = [program]
    while texts:
        new = set(re.findall(r"\bunrolled_\w+(?=\()", texts.pop())) & set(SUPPORT) - called
        called |= new
        texts += [SUPPORT[name].split("(", 1)[1] for name in new]
    return "\n\n".join(text for name, text in SUPPORT.items() if name in called)


_add("""
static float unrolled_larger(float a, float b) { return a > b || a != a ? a : b; }

static float unrolled_smaller(float a, float b) { return a < b || a != a ? a : b; }

static int64_t unrolled_larger_whole(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t unrolled_smaller_whole(int64_t a, int64_t b) { return a < b ? a : b; }

/* Without its fraction; what no table has a row for becomes -1, since C leaves open what a cast would give. */
static int64_t unrolled_whole(float x) { return x >= -9e15f && x <= 9e15f ? (int64_t)x : -1; }

static float unrolled_of_bits(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static uint32_t unrolled_bits(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* e^x = 2^n e^r with |r| <= log(2) / 2, the latter by a polynomial (Cody and Waite 1980, chapter 6): to 2 units in the
   last place, and without a branch, so that compilers make vector instructions of it. */
static float unrolled_exp(float x) {
    float inside = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float shifted = inside * 1.44269504f + 12582912.0f; /* its last bits are n */
    float n = shifted - 12582912.0f;
    float r = (inside - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r * r + r) + 1.0f;
    p = p * unrolled_of_bits((unrolled_bits(shifted) - 0x4b400000u + 127u) << 23);
    return x < -87.0f ? 0.0f : x > 88.0f ? INFINITY : p;
}

static float unrolled_sigmoid(float x) { return 1.0f / (1.0f + unrolled_exp(-x)); }

/* 1 - 2 / (e^2x + 1); near 0, where that would lose digits, a polynomial. */
static float unrolled_tanh(float x) {
    float size = x < 0.0f ? -x : x, square = x * x;
    float far = 1.0f - 2.0f / (unrolled_exp(2.0f * size) + 1.0f);
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    p = p * square * x + x;
    return size < 0.625f ? p : x < 0.0f ? -far : far;
}

/* A polynomial near 0, else 1 - e^(-x^2) q(1 / x^2) / x (coefficients of S. Moshier's Cephes, ndtrf.c). */
static float unrolled_erf(float x) {
    float size = x < 0.0f ? -x : x, square = x * x, q = 1.0f / (size < 1.0f ? 1.0f : square), far;
    float near = 7.853861353153693e-5f, low = 2.326819970068386e-2f, high = -1.047766399936249e+1f;
    near = near * square - 8.010193625184903e-4f;
    near = near * square + 5.188327685732524e-3f;
    near = near * square - 2.685381193529856e-2f;
    near = near * square + 1.128358514861418e-1f;
    near = near * square - 3.761262582423300e-1f;
    near = near * square + 1.128379165726710f;
    low = low * q - 1.387039388740657e-1f;
    low = low * q + 3.687424674597105e-1f;
    low = low * q - 5.824733027278666e-1f;
    low = low * q + 6.210004621745983e-1f;
    low = low * q - 4.944515323274145e-1f;
    low = low * q + 3.404879937665872e-1f;
    low = low * q - 2.741127028184656e-1f;
    low = low * q + 5.638259427386472e-1f;
    high = high * q + 1.297719955372516e+1f;
    high = high * q - 7.495518717768503f;
    high = high * q + 2.921019019210786f;
    high = high * q - 1.015265279202700f;
    high = high * q + 4.218463358204948e-1f;
    high = high * q - 2.820767439740514e-1f;
    high = high * q + 5.641895067754075e-1f;
    far = 1.0f - unrolled_exp(-square) / size * (size < 2.0f ? low : high);
    return size < 1.0f ? x * near : x < 0.0f ? -far : far;
}

static float unrolled_gelu(float x) { return 0.5f * x * (1.0f + unrolled_erf(x * 0.707106781f)); }

static float unrolled_gelu_tanh(float x) {
    return 0.5f * x * (1.0f + unrolled_tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}

static float unrolled_total(float *parts) {
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) parts[l] += parts[l + half];
    return parts[0];
}

/* The sum of n products, in 16 parts. */
static float unrolled_dot(const float *a, const float *b, int n) {
    float parts[16] = {0}, rest = 0.0f;
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; ++l) parts[l] += a[i + l] * b[i + l];
    for (; i < n; ++i) rest += a[i] * b[i];
    return unrolled_total(parts) + rest;
}

/* y[c] = sum over k of w[c * step + k] x[k] */
static void unrolled_dots(const float *w, const float *x, float *y, int columns, int inner, int step) {
    for (int c = 0; c < columns; ++c) y[c] = unrolled_dot(w + (size_t)c * (size_t)step, x, inner);
}

/* y[c] = sum over k of w[k * step + c] x[k] */
static void unrolled_sums(const float *w, const float *x, float *UNROLLED_RESTRICT y, int columns, int inner, int step) {
    for (int c = 0; c < columns; ++c) y[c] = 0.0f;
    for (int k = 0; k < inner; ++k)
        for (int c = 0; c < columns; ++c) y[c] += x[k] * w[(size_t)k * (size_t)step + (size_t)c];
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias */
static void unrolled_norm(const float *x, float *UNROLLED_RESTRICT y, const float *weight, const float *bias, int n,
                          float eps) {
    float parts[16] = {0}, mean = 0.0f, variance;
    int at = 0;
    for (; at + 16 <= n; at += 16)
        for (int l = 0; l < 16; ++l) parts[l] += x[at + l];
    for (; at < n; ++at) mean += x[at];
    mean = (mean + unrolled_total(parts)) / (float)n;
    for (int i = 0; i < n; ++i) y[i] = x[i] - mean;
    variance = unrolled_dot(y, y, n) / (float)n;
    float scale = 1.0f / sqrtf(variance + eps);
    for (int i = 0; i < n; ++i) y[i] *= scale;
    if (weight)
        for (int i = 0; i < n; ++i) y[i] *= weight[i];
    if (bias)
        for (int i = 0; i < n; ++i) y[i] += bias[i];
}

static float unrolled_largest(const float *x, int n) {
    float largest = x[0];
    for (int i = 1; i < n; ++i) largest = unrolled_larger(x[i], largest);
    return largest;
}

static void unrolled_softmax(const float *x, float *UNROLLED_RESTRICT y, int n) {
    float largest = unrolled_largest(x, n), sum = 0.0f;
    for (int i = 0; i < n; ++i) y[i] = unrolled_exp(x[i] - largest);
    for (int i = 0; i < n; ++i) sum += y[i];
    for (int i = 0; i < n; ++i) y[i] /= sum;
}

static void unrolled_log_softmax(const float *x, float *UNROLLED_RESTRICT y, int n) {
    float largest = unrolled_largest(x, n), sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += unrolled_exp(x[i] - largest);
    for (int i = 0; i < n; ++i) y[i] = x[i] - largest - logf(sum);
}
""")

_PRODUCT = """
/* y = w x + bias. w lies in panels of PANEL rows, a panel column by column: PANEL sums grow side by side. */
static void unrolled_product{suffix}(const {kind} *w,{scales} const float *x, const float *bias,
                             float *UNROLLED_RESTRICT y, int rows, int columns) {
    for (int r = 0; r < rows; r += PANEL) {
        float sums[PANEL] = {0};
        for (int c = 0; c < columns; ++c, w += PANEL) {
            float number = x[c];
            for (int l = 0; l < PANEL; ++l) sums[l] += number * {entry};
        }
        for (int l = 0; l < PANEL && r + l < rows; ++l) y[r + l] = {sum};
    }
}

/* One row of a matrix in panels. */
static void unrolled_panel_row{suffix}(const {kind} *w,{scales} float *y, size_t row, int columns) {
    w += row / PANEL * PANEL * (size_t)columns + row % PANEL;
    for (int l = 0; l < columns; ++l, w += PANEL) y[l] = {first};
}

static void unrolled_row{suffix}(const {kind} *w,{scales} float *y, size_t row, int columns) {
    w += row * (size_t)columns;
    for (int l = 0; l < columns; ++l) y[l] = {single};
}
"""
_FORMS = {
    "": ("float", "", "{0}", "{0}", "{0}"),
    "_int8": ("int8_t", " const float *scales,", "(float){0}", "scales[row] * (float){0}", "scales[r + l] * {0}"),
    "_bf16": ("uint16_t", "", "unrolled_of_bits((uint32_t){0} << 16)", "unrolled_of_bits((uint32_t){0} << 16)", "{0}"),
}  # fmt: skip
for _suffix, (_kind, _scales, _entry, _alone, _sum) in _FORMS.items():
    _text = _PRODUCT
    for _name, _value in {
        "suffix": _suffix, "kind": _kind, "scales": _scales, "entry": _entry.format("w[l]"),
        "first": _alone.format("*w"), "single": _alone.format("w[l]"),
        "sum": _sum.format("sums[l]") + " + (bias ? bias[r + l] : 0.0f)",
    }.items():  # fmt: skip
        _text = _text.replace("{" + _name + "}", _value)
    _add(_text.replace("PANEL", str(PANEL)))
