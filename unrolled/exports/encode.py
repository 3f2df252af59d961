"""The graphs encode.onnx: raw numbers to a model's steps, for codecs of numbers, so that a program and a page needn't
write the arithmetic again. In float64, as the codecs reckon.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.mel import cosine_basis, mel_filters
from unrolled.datasets.moments import HUGE
from unrolled.datasets.pixels import FrameVectors, Patches, Pixels, PixelSteps
from unrolled.datasets.spectra import FLOOR, LogMel, Mfcc, Waveform
from unrolled.datasets.stacked import StackedMel
from unrolled.datasets.standard import FARTHEST, Values

HEADER = '<ir_version: 10, opset_import: ["": 20]> encode '
Constants = dict[str, Any]

SPECTRA = """(double[samples] value) => (float[time, D] raw) {
    n = Shape(value)
    over = Sub(n, window)
    up = Add(over, hop_less)
    more = Div(up, hop)
    some = Max(more, zero)
    count = Add(some, one)
    gaps = Mul(some, hop)
    total = Add(gaps, window)
    silence = Sub(total, n)
    pads = Concat<axis=0>(zero, silence)
    padded = Pad(value, pads)
    number = Squeeze(count)
    order = Range(scalar_zero, number, scalar_one)
    begins = Mul(order, hop)
    column = Unsqueeze(begins, one)
    places = Add(column, within)
    frames = Gather(padded, places)
    windowed = Mul(frames, hann)
    filled = Pad(windowed, right)
    signal = Unsqueeze(filled, two)
    spectrum = DFT<onesided=1>(signal, , scalar_one)
    power = ReduceSumSquare<keepdims=0>(spectrum, two)
    bands = MatMul(power, filters)
    heard = Max(bands, floor)
    loud = Log(heard)
"""
LEVEL = "    mean_level = ReduceMean<keepdims=0>(loud)\n    level = Sub(loud, mean_level)\n"
SCALED = """    centred = Sub({of}, mean)
    scaled = Div(centred, deviation)
"""
STACKED = """{scaled}    grown = Add(count, stack_less)
    whole = Div(grown, stack)
    slots = Mul(whole, stack)
    slot_count = Squeeze(slots)
    slot = Range(scalar_zero, slot_count, scalar_one)
    final = Sub(count, one)
    shown = Min(slot, final)
    laid = Gather(scaled, shown)
    cut = Reshape(laid, sides)
    turned = Transpose<perm=[0, 2, 1]>(cut)
    steps = Reshape(turned, shape)
    raw = Cast<to=1>(steps)
}}"""
WAVEFORM = f"""(double[samples] value) => (float[time, D] raw) {{
{SCALED.format(of="value")}
    n = Shape(value)
    up = Add(n, frame_less)
    more = Div(up, frame)
    count = Max(more, one)
    total = Mul(count, frame)
    silence = Sub(total, n)
    pads = Concat<axis=0>(zero, silence)
    padded = Pad(scaled, pads)
    steps = Reshape(padded, shape)
    raw = Cast<to=1>(steps)
}}"""
SERIES = """(double[time, C] value) => (float[time, D] raw) {
    size = Abs(value)
    there = LessOrEqual(size, huge)
    known = Where(there, value, centre)
    off = Sub(known, centre)
    wide = Mul(off, inverse)
    scaled = Clip(wide, least, most)
    gone = Not(there)
    marks = Cast<to=11>(gone)
    both = Concat<axis=1>(scaled, marks)
    raw = Cast<to=1>(both)
}"""
IMAGE = "(double[{shape}] value) => (float[time, D] raw) {{\n" + SCALED.format(of="value")
ROWS = "    steps = Reshape(scaled, shape)\n    raw = Cast<to=1>(steps)\n}}"
PATCHES = """    padded = Pad(scaled, pads)
    cut = Reshape(padded, squares)
    turned = Transpose<perm=[0, 2, 1, 3, 4]>(cut)
    steps = Reshape(turned, shape)
    raw = Cast<to=1>(steps)
}}"""


def encoders(codec: Any) -> dict[str, bytes]:
    """The files of a codec's graphs: encode.onnx or, of several columns, encode-N.onnx for each that holds numbers."""
    fields = getattr(codec, "fields", None)
    named = (
        {f"encode-{at}.onnx": f.codec for at, f in enumerate(fields)} if fields else {"encode.onnx": codec}
    )
    found = {name: encoding(one) for name, one in named.items()}
    return {name: content for name, content in found.items() if content is not None}


def encoding(codec: Any) -> bytes | None:
    """The graph of a fitted codec, as a file's content: `value` (double) -> `raw` (T, D) float32. None where the codec
    writes ids.

    Sound: samples (n,) at the codec's rate; a series (T, C), NaN where a value is missing; an image (H, W, channels) or
    frames (T, H, W, channels) of the codec's size.
    """
    if isinstance(codec, LogMel):
        return _made(*_spectra(codec), ["samples"], codec.width)
    if isinstance(codec, Waveform):
        sizes = {"frame": [codec.frame], "frame_less": [codec.frame - 1], "shape": [-1, codec.frame]}
        return _made(WAVEFORM, _counts(**sizes) | _scale(codec), ["samples"], codec.width)
    if isinstance(codec, Values):
        limits = {"huge": HUGE, "least": -FARTHEST, "most": FARTHEST}
        constants = {
            "centre": codec.centre,
            "inverse": codec.inverse,
            **{k: np.array(v) for k, v in limits.items()},
        }
        return _made(SERIES, constants, ["time", codec.channels], codec.size)
    if isinstance(codec, Pixels):
        return _made(*_pixels(codec))
    return None


def _spectra(codec: LogMel) -> tuple[str, Constants]:
    window, hop = round(codec.window * codec.rate), max(1, round(codec.hop * codec.rate))
    size = 1 << (window - 1).bit_length()
    sizes = {
        "window": [window], "hop": [hop], "hop_less": [hop - 1], "two": [2], "right": [0, 0, 0, size - window],
        "within": np.arange(window), "scalar_zero": 0, "scalar_one": 1,
    }  # fmt: skip
    numbers = {
        "hann": 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window),
        "filters": mel_filters(codec.rate, size, codec.bands, codec.scale).T,
        "floor": np.array(FLOOR),
    }
    text, last = SPECTRA, "loud"
    if not codec.loudness:
        text, last = text + LEVEL, "level"
    if isinstance(codec, Mfcc):
        numbers["basis"] = cosine_basis(codec.coefficients, codec.bands).T
        text, last = f"{text}    cepstra = MatMul({last}, basis)\n", "cepstra"
    if isinstance(codec, StackedMel):
        numbers |= _counts(
            stack=[codec.stack], stack_less=[codec.stack - 1], sides=[-1, codec.stack, codec.bands]
        )
        numbers["shape"] = np.array([-1, codec.width])
        return text + STACKED.format(scaled=SCALED.format(of=last)), _counts(**sizes) | numbers | _scale(
            codec
        )
    text += SCALED.format(of=last) + "    raw = Cast<to=1>(scaled)\n}"
    return text, _counts(**sizes) | numbers | _scale(codec)


def _pixels(codec: Pixels) -> tuple[str, Constants, list[int | str], int]:
    sizes: list[int | str] = [codec.height, codec.width_pixels, codec.channels]
    shape = [codec.height, codec.width]
    text, constants = ROWS, {}
    if isinstance(codec, PixelSteps | FrameVectors):
        shape = [-1, codec.width]
        sizes = ["time", *sizes] if isinstance(codec, FrameVectors) else sizes
    elif isinstance(codec, Patches):
        p, text = codec.patch, PATCHES
        down, right = -codec.height % p, -codec.width_pixels % p
        rows, columns = (codec.height + down) // p, (codec.width_pixels + right) // p
        constants = {"pads": [0, 0, 0, down, right, 0], "squares": [rows, p, columns, p, codec.channels]}
        shape = [rows * columns, codec.width]
    whole = (IMAGE + text).format(shape=", ".join(map(str, sizes)))
    return whole, _counts(shape=shape, **constants) | _scale(codec), sizes, codec.width


def _counts(**sizes: Any) -> Constants:
    return {name: np.array(value, np.int64) for name, value in ({"zero": [0], "one": [1]} | sizes).items()}


def _scale(codec: Any) -> Constants:
    return {"mean": np.asarray(codec.mean), "deviation": np.asarray(codec.deviation)}


def _made(text: str, constants: Constants, sizes: list[int | str], width: int) -> bytes:
    from onnx import numpy_helper, parser

    proto = parser.parse_model(HEADER + text)
    used = {name for node in proto.graph.node for name in node.input}
    held: dict[str, NDArray[Any]] = {
        name: np.asarray(value) for name, value in constants.items() if name in used
    }
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in held.items())
    for value, wanted in ((proto.graph.input[0], sizes), (proto.graph.output[0], ["time", width])):
        del value.type.tensor_type.shape.dim[:]
        for size in wanted:
            dim = value.type.tensor_type.shape.dim.add()
            setattr(dim, "dim_param" if isinstance(size, str) else "dim_value", size)
    proto.producer_name = "unrolled"
    content: bytes = proto.SerializeToString(deterministic=True)
    return content
