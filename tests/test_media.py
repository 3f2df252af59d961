"""Sound, images and videos as people have them: what is read, how it is encoded, and what is said about it."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from spectra_oracle import CASES, FILE, signal

from unrolled.datasets.augment import AUGMENTATIONS, augmented, draw_for
from unrolled.datasets.folders import class_folder, load, media_records
from unrolled.datasets.images import image_header, read_frames, read_image
from unrolled.datasets.inputs import input_codec_from_dict
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.media_codecs import MEDIA_CODECS, OF_COLUMN
from unrolled.datasets.mel import cosine_basis, hertz_to_mel, mel_to_hertz
from unrolled.datasets.moments import Moments
from unrolled.datasets.pixels import FrameVectors, Patches, Pixels, PixelSteps, resized
from unrolled.datasets.samples import resolve
from unrolled.datasets.scaling import scale_of
from unrolled.datasets.sketch import shades, spectrogram, waveform
from unrolled.datasets.sound import Sound, read_sound, resampled, sound_header
from unrolled.datasets.spectra import LogMel, Mfcc, Waveform
from unrolled.datasets.synthetic import DIRECTIONS, ball, ball_clip
from unrolled.errors import UserError

TONE = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.stack([GREY, GREY + 50, GREY + 100], -1)


def heard(path: Path, samples: Any = TONE, rate: int = 8000, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **settings)
    return path


def seen(path: Path, pixels: Any = GREY, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def listed(path: Path) -> list[dict[str, Any]]:
    found = media_records(path)
    assert found is not None
    return list(found)


def notes(records: list[dict[str, Any]]) -> str:
    assert not any("notes" in record for record in records[1:]), "notes stand at the first record"
    return "\n".join(records[0].get("notes", []))


# --- sound


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_sound_of_each_kind_is_read(kind: str, tmp_path: Path) -> None:
    path = heard(tmp_path / f"x.{kind}")
    sound = read_sound(path)
    assert sound.rate == 8000 and sound.samples.dtype == np.float32 and sound.samples.shape == (8000,)
    assert sound_header(path)[:3] == (8000, 8000, 1)
    if kind in ("wav", "flac"):
        assert np.abs(sound.samples - TONE).max() < 2**-15
    else:  # lossy: the tone is still there
        assert np.corrcoef(sound.samples[800:7000], TONE[800:7000])[0, 1] > 0.98


def test_channels_are_averaged_over_every_block(tmp_path: Path) -> None:
    stereo = np.stack([np.linspace(-1, 1, 200_000), np.full(200_000, 0.5)], 1).astype(np.float32)
    read = read_sound(heard(tmp_path / "x.wav", stereo, subtype="FLOAT")).samples
    assert np.array_equal(read, stereo.mean(1))


def test_resampling_keeps_the_tone_and_the_length() -> None:
    at_16k = Sound(np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32), 16_000)
    at_8k = resampled(at_16k, 8000)
    assert at_8k.rate == 8000 and abs(len(at_8k.samples) - 8000) <= 1
    assert np.abs(np.fft.rfft(at_8k.samples)).argmax() == 440
    high = Sound(np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000).astype(np.float32), 16_000)
    assert np.abs(resampled(high, 8000).samples[500:-500]).max() < 1e-3, (
        "above half the rate nothing folds down"
    )
    assert resampled(at_8k, 8000) is at_8k


# --- images


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "webp", "tiff", "pgm"])
def test_images_of_each_kind_are_read_exactly(kind: str, tmp_path: Path) -> None:
    settings = {"lossless": True} if kind == "webp" else {}
    read = read_image(seen(tmp_path / f"x.{kind}", GREY, **settings))
    assert np.array_equal(read if read.ndim == 2 else read[..., 0], GREY)
    if kind not in ("pgm", "gif"):
        assert np.array_equal(read_image(seen(tmp_path / f"y.{kind}", COLOUR, **settings)), COLOUR)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation: int, tmp_path: Path) -> None:
    """The EXIF standard's table: what of the stored picture is the upright one's first row and column."""
    turned = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: GREY.T[:, ::-1], 7: GREY.T[::-1, ::-1], 8: GREY.T[::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = seen(tmp_path / "x.png", GREY, exif=exif)
    assert np.array_equal(read_image(path), turned)
    assert image_header(path)[:3] == (*turned.shape, 1)


def test_transparent_parts_are_white_and_deep_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    clear = np.zeros((2, 3, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    read = read_image(seen(tmp_path / "a.png", clear))
    assert read.shape == (2, 3, 3) and read[0, 0].tolist() == [10, 20, 30] and (read[1] == 255).all()
    grey = read_image(seen(tmp_path / "b.png", np.array([[[0, 0], [70, 255]]], np.uint8)))
    assert grey.tolist() == [[255, 70]]
    deep = read_image(seen(tmp_path / "c.png", (GREY.astype(np.uint16) << 8) + 200))
    assert np.array_equal(deep, GREY)
    indexed = Image.fromarray(COLOUR).quantize(48)
    indexed.save(tmp_path / "d.png")
    assert np.array_equal(read_image(tmp_path / "d.png"), np.asarray(indexed.convert("RGB")))


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        seen(tmp_path / "clip" / f"frame_{number}.png", np.full((4, 5), number, np.uint8))
    seen(tmp_path / "clip" / ".hidden.png")
    video = read_frames(tmp_path / "clip")
    assert video.shape == (3, 4, 5) and video[:, 0, 0].tolist() == [2, 9, 10]
    seen(tmp_path / "clip" / "frame_11.png", np.zeros((4, 5, 3), np.uint8))
    assert read_frames(tmp_path / "clip").shape == (4, 4, 5, 3), "grey among colour is repeated"


# --- folders and zips


def test_the_shipped_digits_are_120_in_ten_classes_by_six_speakers() -> None:
    records = listed(resolve("spoken_digits"))
    assert len(records) == 120
    assert Counter(r["label"] for r in records) == {str(digit): 12 for digit in range(10)}
    assert Counter(r["group"] for r in records) == dict.fromkeys(
        ("george", "jackson", "lucas", "nicolas", "theo", "yweweler"), 20
    )
    assert records[0]["origin"] == "0/0_george_10.wav"
    assert "group = the middle of each name (george, jackson, lucas, nicolas, theo, yweweler)" in notes(
        records
    )
    assert {load(record)["sound"].rate for record in records} == {8000}
    assert all(isinstance(record["sound"], MediaFile) for record in records), "listing reads no sound"


def test_a_folder_and_its_zip_are_the_same_records(tmp_path: Path) -> None:
    names = [f"{c}/{n}.wav" for c in ("no", "yes") for n in "ab"]
    for number, name in enumerate(names):
        heard(tmp_path / "data" / name, TONE[: 1000 + number])
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "data" / name, f"data/{name}")
    from_folder, from_zip = listed(tmp_path / "data"), listed(tmp_path / "data.zip")
    for one, other in zip(from_folder, from_zip, strict=True):
        assert [one[k] for k in ("label", "origin")] == [other[k] for k in ("label", "origin")]
        assert np.array_equal(load(one)["sound"].samples, load(other)["sound"].samples)
    assert [r["origin"] for r in from_folder] == names


def test_labels_and_speakers_come_from_names_where_every_name_fits(tmp_path: Path) -> None:
    for label in "01":
        for speaker in ("ann", "bob"):
            heard(tmp_path / f"{label}_{speaker}_7.wav")
    records = listed(tmp_path)
    assert [(r["label"], r["group"]) for r in records] == [
        ("0", "ann"),
        ("0", "bob"),
        ("1", "ann"),
        ("1", "bob"),
    ]
    assert "label = the first word of each name (0, 1)" in notes(records)
    heard(tmp_path / "introduction.wav")
    assert not any("label" in r or "group" in r for r in listed(tmp_path)), (
        "one name that doesn't fit: no guess"
    )


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat_1", "cat_2", "dog_1", "dog_2"], ["cat", "cat", "dog", "dog"]),
        (["cat.1", "cat.2", "dog.1", "dog.2"], ["cat", "cat", "dog", "dog"]),
        (["img_1", "img_2", "img_3"], None),  # one word is no label
        (["001", "002", "003"], None),
        (["a1", "b1", "c1", "a2"], None),  # most of them once
        (["0_x_1", "1_x_1", "2_y_1"], None),
    ],
)
def test_a_label_in_a_name_repeats(names: list[str], labels: list[str] | None, tmp_path: Path) -> None:
    for name in names:
        seen(tmp_path / f"{name}.png")
    assert [r.get("label") for r in listed(tmp_path)] == (labels or [None] * len(names))


def test_train_and_test_folders_are_the_given_split(tmp_path: Path) -> None:
    for part in ("Train", "test", "val"):
        for label in "ab":
            seen(tmp_path / "data" / part / label / "1.png")
    records = listed(tmp_path)
    assert [(r["part"], r["label"]) for r in records] == [
        (part, label) for part in ("train", "test", "valid") for label in "ab"
    ]
    alone = listed(tmp_path / "data" / "Train")
    assert [(r.get("part"), r["label"]) for r in alone] == [(None, "a"), (None, "b")]
    (tmp_path / "more").mkdir()
    (tmp_path / "data" / "Train").rename(tmp_path / "more" / "train")
    assert not any("part" in r for r in listed(tmp_path / "more")), "one part is no split"
    seen(tmp_path / "data" / "other" / "a" / "1.png")
    assert not any("part" in r for r in listed(tmp_path)), "a folder that is no part: all are classes"


def test_train_and_test_folders_may_hold_the_files_themselves(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("0_ann_1", "0_bob_1", "1_ann_1", "1_bob_1"):
            heard(tmp_path / part / f"{name}.wav")
    records = listed(tmp_path)
    assert [(r["part"], r["label"], r["group"]) for r in records[3:5]] == [
        ("test", "1", "bob"),
        ("train", "0", "ann"),
    ]


def test_a_folder_around_everything_is_no_class(tmp_path: Path) -> None:
    """As in the zip that people download: recordings/0_george_0.wav beside a README.md."""
    for label in "01":
        for speaker in ("ann", "bob"):
            heard(tmp_path / "recordings" / f"{label}_{speaker}_7.wav")
    (tmp_path / "README.md").write_text("x")
    assert [(r["label"], r["group"]) for r in listed(tmp_path)][1:3] == [("0", "bob"), ("1", "ann")]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for label in "ab":
        for number in range(3):
            heard(tmp_path / label / f"{number}.wav")
    seen(tmp_path / "a" / "cover.png")
    heard(tmp_path / "loose.wav")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / ".hidden").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "up").symlink_to("..")
    (tmp_path / "c").symlink_to("a")
    (tmp_path / "b" / "gone.wav").symlink_to("nowhere.wav")
    records = listed(tmp_path)
    assert Counter(r["label"] for r in records) == {"a": 3, "b": 3}
    said = notes(records)
    for words in (
        "left out 1 image file among 7 of sound",
        "left out 1 .txt",
        "1 file that are hidden",
        "2 files whose link leads back",
        "1 file that are broken links",
        "1 file beside the class folders",
        "the class 'empty' is empty",
    ):
        assert words in said, words


def test_links_to_folders_and_files_elsewhere_are_followed(tmp_path: Path) -> None:
    heard(tmp_path / "far" / "1.wav")
    (tmp_path / "data" / "b").mkdir(parents=True)
    (tmp_path / "data" / "a").symlink_to("../far")
    (tmp_path / "data" / "b" / "2.wav").symlink_to("../../far/1.wav")
    records = listed(tmp_path / "data")
    assert [r["origin"] for r in records] == ["a/1.wav", "b/2.wav"]
    assert all(len(load(r)["sound"].samples) == 8000 for r in records)


def test_folders_of_numbered_images_two_deep_are_videos(tmp_path: Path) -> None:
    for label in ("E", "W"):
        for clip in ("one", "two"):
            for number in (1, 2, 4) if clip == "two" else (1, 2, 3):
                seen(tmp_path / label / clip / f"{number:03}.png")
    records = listed(tmp_path)
    assert [(r["label"], r["origin"], str(r["frames"])) for r in records][:2] == [
        ("E", "E/one", f"{tmp_path.name}/E/one"),
        ("E", "E/two", f"{tmp_path.name}/E/two"),
    ]
    assert isinstance(records[0]["frames"], Clip) and load(records[0])["frames"].shape == (3, 6, 8)
    assert "2 clips with gaps in the numbers of their frames" in notes(records)
    assert [r["origin"] for r in class_folder(tmp_path)] == [r["origin"] for r in records]


def test_a_single_file_is_one_record_without_a_label(tmp_path: Path) -> None:
    assert listed(heard(tmp_path / "x.WAV")) == [{"sound": MediaFile(tmp_path / "x.WAV"), "origin": "x.WAV"}]
    assert list(listed(seen(tmp_path / "x.png"))[0]) == ["image", "origin"]


def test_names_that_are_not_utf8_can_be_printed(tmp_path: Path) -> None:
    heard(tmp_path / "b" / "1.wav")
    heard(tmp_path / "b" / "x.wav").rename(tmp_path / "b" / "caf\udce9.wav")
    heard(tmp_path / "c" / "1.wav")
    assert [r["origin"] for r in listed(tmp_path)] == ["b/1.wav", "b/caf\ufffd.wav", "c/1.wav"]
    assert len(load(listed(tmp_path)[1])["sound"].samples) == 8000


# --- spectra


@pytest.mark.parametrize("scale", CASES)
def test_spectra_equal_librosas(scale: str) -> None:
    """tests/spectra_oracle.py made the reference with librosa 0.11.0; the relative error is that to the largest value."""
    rate, length, coefficients = CASES[scale]
    sound = Sound(signal(rate, length), rate)
    with np.load(FILE, allow_pickle=False) as reference:
        power, cepstra = reference[f"{scale}_power"], reference[f"{scale}_mfcc"]
    ours = LogMel(rate=rate, scale=scale, loudness=True).features(sound)
    assert np.abs(np.exp(ours) - power).max() <= 1e-5 * power.max()
    assert np.abs(ours - np.log(power)).max() <= 1e-5 * np.abs(np.log(power)).max()
    mfcc = Mfcc(rate=rate, scale=scale, coefficients=coefficients, loudness=True).features(sound)
    assert np.abs(mfcc - cepstra).max() <= 1e-5 * np.abs(cepstra).max()


def test_mel_scales_hit_their_fixed_points() -> None:
    assert hertz_to_mel(np.array([0.0, 1000, 6400]), "slaney").tolist() == pytest.approx([0, 15, 42])
    assert hertz_to_mel(np.array([1000.0]), "htk")[0] == pytest.approx(1000, abs=0.1)
    hertz = np.linspace(0, 8000, 999)
    for scale in ("slaney", "htk"):
        assert np.allclose(mel_to_hertz(hertz_to_mel(hertz, scale), scale), hertz)
    assert np.allclose(cosine_basis(40, 40) @ cosine_basis(40, 40).T, np.eye(40))


def test_every_sample_is_in_a_step() -> None:
    codec = LogMel(rate=8000)
    for length in (1, 199, 200, 201, 280, 281, 8000):
        steps = codec.features(Sound(np.ones(length, np.float32), 8000))
        assert len(steps) == 1 + max(0, -(-(length - 200) // 80))
    click = np.zeros(281, np.float32)
    click[280] = 1
    loud = codec.features(Sound(click, 8000))
    assert loud[2].max() > loud[0].max(), "the last sample is heard"


SOUND_CODECS: list[Callable[[], Any]] = [
    LogMel,
    lambda: Mfcc(coefficients=20, scale="htk"),
    lambda: Waveform(frame=160),
]


@pytest.mark.parametrize("make", SOUND_CODECS)
def test_sound_codecs_scale_by_training_and_survive_saving(make: Callable[[], Any]) -> None:
    handles = [record["sound"] for record in listed(resolve("spoken_digits"))][:24]
    codec = make().fit(iter(handles))
    encoded = [codec.encode(handle) for handle in handles]
    steps = np.concatenate(encoded)
    assert steps.dtype == np.float32 and steps.shape[1] == codec.width
    if codec.kind == "waveform":  # one mean and deviation; the last step's filling isn't part of them
        assert abs(steps.mean()) < 0.01 and abs(steps.std() - 1) < 0.02
    else:
        assert np.abs(steps.mean(0)).max() < 1e-4 and np.abs(steps.std(0) - 1).max() < 1e-4
    again = type(codec).from_dict(json.loads(json.dumps(codec.to_dict())))
    assert np.array_equal(again.encode(handles[0]), encoded[0]) and again.to_dict() == codec.to_dict()
    assert f"{len(encoded[0])} steps" in codec.describe(encoded[0]) and "8000 Hz" in codec.describe(
        encoded[0]
    )
    with pytest.raises(UserError, match="is damaged"):
        type(codec).from_dict(codec.to_dict() | {"deviation": [0.0] * len(codec.mean)})


def test_the_rate_is_the_commonest_of_training_and_others_are_counted(tmp_path: Path) -> None:
    at = {rate: Sound(TONE, rate) for rate in (8000, 16_000, 44_100)}
    codec = LogMel().fit([at[8000], at[8000], at[16_000]])
    assert codec.rate == 8000 and codec.notes == ["1 of 3 training sounds resampled to 8,000 Hz"]
    assert LogMel().fit([at[44_100]]).rate == 16_000, "no more than 16 kHz unless it is asked for"
    assert LogMel(rate=44_100).fit([at[44_100]]).rate == 44_100
    assert len(codec.encode(at[16_000])) == pytest.approx(len(codec.encode(at[8000])) / 2, abs=2)
    assert Waveform().fit([heard(tmp_path / "x.wav")]).rate == 8000
    silence = LogMel().fit([Sound(np.zeros(800, np.float32), 8000)])
    assert np.abs(silence.encode(Sound(np.zeros(800, np.float32), 8000))).max() < 1e-9
    for codec in (LogMel(), Waveform()):
        with pytest.raises(ValueError, match="no rate yet"):
            codec.encode(at[8000])
        with pytest.raises(UserError, match="at least one"):
            codec.fit([])


@pytest.mark.parametrize("make", [LogMel, Mfcc])
def test_a_quieter_recording_is_the_same_unless_loudness_is_kept(make: type[LogMel]) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    near, far = Sound(hiss, 8000), Sound(hiss * np.float32(0.1), 8000)
    codec = make().fit([near])
    assert np.abs(codec.encode(far) - codec.encode(near)).max() < 1e-3
    kept = make(loudness=True).fit([near])
    assert np.abs(kept.encode(far) - kept.encode(near)).max() > 1
    # 1960 samples fill 23 windows: what comes later changes none of them, so a stream can be encoded as it comes.
    start = kept.encode(Sound(hiss[:1960], 8000))
    assert np.array_equal(start, kept.encode(near)[: len(start)])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bands": 0}, "bands is 0"),
        ({"scale": "bark"}, "unknown mel scale 'bark'"),
        ({"hop": 0.05}, "0 < hop <= window"),
        ({"bands": 400}, "too many for 8000 Hz"),
        ({"coefficients": 41}, "41 coefficients of 40 bands"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Mfcc(rate=8000, **{"coefficients": 13, **settings}).features(Sound(TONE, 8000))


# --- pixels


@pytest.mark.parametrize(
    ("before", "after"), [((12, 20), (5, 7)), ((9, 9), (3, 3)), ((5, 4), (11, 13)), ((8, 8), (8, 8))]
)
def test_resizing_is_pillows_bilinear(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, before).astype(np.float32)
    wanted = np.asarray(Image.fromarray(image, "F").resize(after[::-1], Image.Resampling.BILINEAR))
    assert np.abs(resized(image[None, :, :, None], *after)[0, :, :, 0] - wanted).max() < 1e-3


def test_rows_pixels_and_patches_hold_the_same_values_in_reading_order() -> None:
    images = [GREY, GREY[::-1], GREY * 2]
    rows, pixels, patches = (codec.fit(images) for codec in (Pixels(), PixelSteps(), Patches(patch=2)))
    flat = rows.encode(GREY)
    assert flat.shape == (6, 8) and rows.width == 8
    assert np.array_equal(pixels.encode(GREY), flat.reshape(48, 1))
    assert patches.encode(GREY).shape == (12, 4) and patches.width == 4
    assert np.array_equal(patches.encode(GREY)[1], flat[:2, 2:4].ravel())
    assert np.array_equal(patches.encode(GREY)[4], flat[2:4, :2].ravel())
    every = np.concatenate([rows.encode(image) for image in images])
    assert abs(every.mean()) < 1e-6 and abs(every.std() - 1) < 1e-6
    assert rows.describe(flat) == "6 x 8 pixels, grey, as 6 rows of 8 values"


def test_digits_are_16_patches_and_odd_edges_are_filled_with_the_mean() -> None:
    digit = np.arange(64.0).reshape(8, 8)
    assert Patches().fit([digit]).encode(digit).shape == (16, 4)
    codec = Patches(patch=4).fit([GREY])
    encoded = codec.encode(GREY)
    assert encoded.shape == (4, 16) and (encoded[2].reshape(4, 4)[2:] == 0).all()
    mnist = np.zeros((28, 28), np.uint8)
    assert Patches().fit([mnist]).encode(mnist).shape == (49, 16)


def test_images_of_other_sizes_and_channels_are_brought_to_trainings_and_counted() -> None:
    codec = Pixels().fit([GREY, GREY, np.zeros((12, 16), np.uint8)])
    assert codec.notes == ["1 of 3 training images resized to 6 x 8"]
    assert codec.encode(COLOUR).shape == (6, 8), "colours weighed to grey"
    assert codec.resizes(np.zeros((7, 7))) and not codec.resizes(GREY)
    both = Pixels().fit([COLOUR, GREY])
    assert both.width == 24 and both.notes == ["1 of 2 training images are grey, read as 3 channels"]
    assert np.array_equal(both._sized(GREY)[0, :, :, 0], GREY)
    large = Pixels(largest=16).fit([np.zeros((40, 80), np.uint8)])
    assert (large.height, large.width_pixels) == (8, 16) and "resized to 8 x 16" in large.notes[0]
    with pytest.raises(UserError, match="4 channels where training has 1"):
        codec.encode(np.zeros((6, 8, 4)))
    for value in (np.zeros((0, 8)), np.zeros(8), np.full((2, 2), np.nan), np.array([["a"]])):
        with pytest.raises(UserError, match="Expected"):
            codec.encode(value)
    with pytest.raises(ValueError, match="no size yet"):
        Pixels().encode(GREY)
    with pytest.raises(UserError, match="at least one"):
        Pixels().fit([])


@pytest.mark.parametrize("make", [Pixels, PixelSteps, Patches, FrameVectors])
def test_pixel_codecs_survive_saving(make: type[Pixels], tmp_path: Path) -> None:
    value: Any = np.stack([COLOUR, COLOUR // 2]) if make is FrameVectors else seen(tmp_path / "x.png", COLOUR)
    codec = make().fit([value])
    again = make.from_dict(json.loads(json.dumps(codec.to_dict())))
    assert np.array_equal(again.encode(value), codec.encode(value)) and again.to_dict() == codec.to_dict()
    assert codec.encode(value).shape[1] == codec.width == again.width


def test_each_frame_is_a_step_and_large_frames_are_averaged() -> None:
    video = np.zeros((5, 32, 32), np.uint8)
    video[2, :16] = 200
    codec = FrameVectors(largest=2).fit([video])
    encoded = codec.encode(video)
    assert encoded.shape == (5, 4) and codec.encode(video[:1]).shape == (1, 4)
    assert encoded[2, 0] > 1 and encoded[2, 3] < encoded[2, 0] and np.array_equal(encoded[0], encoded[4])
    assert "as 5 frames of 4 values" in codec.describe(encoded)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float64, (12, 3), elements=st.floats(-1e3, 1e3)), st.integers(0, 12))
def test_moments_in_pieces_are_moments_of_the_whole(values: Any, cut: int) -> None:
    moments = Moments(3)
    for part in (values[:cut], values[cut:]):
        moments.add(part)
    assert np.allclose(moments.mean, values.mean(0), atol=1e-9)
    spread = values.std(0)
    assert np.allclose(moments.deviation[spread > 1e-3], spread[spread > 1e-3])


def test_what_hardly_varies_is_scaled_by_one() -> None:
    """A thousandth of a millionth around 5 is rounding; around 0 a deviation of 1e-9 is a quantity."""
    moments = Moments(3)
    moments.add(np.array([[5, 1e-9, 2], [5 + 5e-9, -1e-9, 4]]))
    mean, deviation = scale_of(moments)
    assert deviation == pytest.approx([1, 1e-9, 1], rel=1e-6) and mean == pytest.approx([5, 0, 3])
    assert moments.deviation[0] > 0, "what is exactly constant is another question"


def test_the_table_of_codecs_names_each_by_its_kind() -> None:
    assert all(codec.kind == kind for kind, codec in MEDIA_CODECS.items())
    assert sorted(MEDIA_CODECS) == sorted(kind for kinds in OF_COLUMN.values() for kind in kinds)
    saved = Pixels().fit([GREY]).to_dict()
    assert isinstance(input_codec_from_dict(saved), Pixels)
    for wrong, says in (
        ({"kind": "pixel"}, "unknown codec 'pixel'. Did you mean 'pixels'"),
        ({"kind": "pixels"}, "is damaged: KeyError"),
        (saved | {"sides": 4}, "is damaged: TypeError"),
    ):
        with pytest.raises(UserError, match=says):
            input_codec_from_dict(wrong)


def test_sketches_show_where_it_is_loud() -> None:
    sound = Sound(np.sin(2 * np.pi * 3000 * np.arange(8000) / 8000).astype(np.float32), 8000)
    sound.samples[:4000] = 0
    line = waveform(sound.samples, 10)
    assert line == "▁" * 5 + "█" * 5
    drawn = spectrogram(LogMel(rate=8000).features(sound), 20, 8)
    assert len(drawn) == 8 and {len(row) for row in drawn} == {20}
    assert all(row[0] == " " for row in drawn) and any(row[-2] == "█" for row in drawn[:3])
    assert waveform(np.zeros(0)) == "▁" and shades(np.zeros((1, 1))) == [" "]


# --- generated videos


def test_the_frames_of_a_ball_say_nothing_about_its_direction() -> None:
    """Whatever the direction, a clip is the same set of frames, noise and all: only their order differs."""
    for index in range(20):
        clips = {label: ball_clip(label, 3, index) for label in DIRECTIONS}
        sets = {label: sorted(frame.tobytes() for frame in clip) for label, clip in clips.items()}
        assert all(frames == sets["E"] for frames in sets.values())
        assert len({clip.tobytes() for clip in clips.values()}) == 8
        assert len(set(sets["E"])) == 16


def test_the_ball_moves_as_its_label_says() -> None:
    for record in ball(24, seed=1):
        weight = np.clip(record["frames"].astype(float) - 80, 0, None)
        rows, columns = np.indices((16, 16))
        y, x = ((weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in (rows, columns))
        down, right = DIRECTIONS[record["label"]]
        steps = Counter(
            zip(np.sign(np.round(np.diff(y) / 1.2)), np.sign(np.round(np.diff(x) / 1.2)), strict=True)
        )
        assert steps.most_common(1)[0][0] == (down, right)
        assert steps[down, right] >= 9


def test_balls_are_balanced_and_a_pure_function_of_seed_and_index() -> None:
    records = list(ball(80, seed=5))
    assert set(Counter(r["label"] for r in records).values()) == {10}
    for number, record in enumerate(ball(30, seed=5)):
        assert record["label"] == records[number]["label"] and record["origin"] == f"ball:{number}"
        assert np.array_equal(record["frames"], records[number]["frames"])
    assert not np.array_equal(next(ball(1, seed=6))["frames"], records[0]["frames"])
    assert next(ball(1, size=24, frames=25))["frames"].shape == (25, 24, 24)
    for wrong, says in (({"frames": 12}, "form a square"), ({"size": 6}, "too small for 16 places")):
        with pytest.raises(UserError, match=says):
            next(ball(1, **wrong))


# --- augmentation

CHANGED = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32) + 10
IDS = np.arange(50, dtype=np.int64)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_change_is_a_pure_function_of_seed_epoch_and_sample(name: str) -> None:
    x = IDS if name == "word_dropout" else CHANGED
    before = x.copy()

    def once(**key: Any) -> Any:
        return augmented(x, [(name, {})], **{"seed": 1, "epoch": 2, "sample": "a/1.wav", **key})

    first = once()
    assert np.array_equal(first, once()) and np.array_equal(x, before) and first.dtype == x.dtype
    others = [[once(**{key: n}) for n in range(10, 30)] for key in ("seed", "epoch", "sample")]
    assert all(any(not np.array_equal(first, other) for other in each) for each in others)


def test_a_change_doesnt_depend_on_the_changes_beside_it() -> None:
    key = {"seed": 0, "epoch": 0, "sample": 7}
    alone = augmented(CHANGED, [("noise", {})], **key) - CHANGED
    after = augmented(
        CHANGED, [("noise", {"deviation": 0.0}), ("frequency_mask", {}), ("time_mask", {})], **key
    )
    both = augmented(CHANGED, [("noise", {}), ("frequency_mask", {}), ("time_mask", {})], **key)
    assert np.array_equal(after == 0, both == 0)
    assert np.allclose((both - after)[after != 0], alone[after != 0])
    later = augmented(CHANGED, [("shift", {"most": 0}), ("noise", {})], **key) - CHANGED
    assert np.array_equal(later, alone)
    twice = augmented(CHANGED, [("noise", {}), ("noise", {})], **key) - CHANGED
    assert not np.allclose(twice, 2 * alone, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 10_000))
def test_changes_keep_their_bounds(length: int, sample: int) -> None:
    x = np.full((length, 6), 3, np.float32)

    def change(name: str, **given: Any) -> Any:
        return augmented(x, [(name, given)], seed=0, epoch=0, sample=sample)

    silent = (change("time_mask", count=2, longest=4, share=0.5) == 0).all(1).sum()
    assert silent <= 2 * min(4, length // 2)
    assert (change("frequency_mask", count=1, widest=2) == 0).sum() <= 2 * length
    moved = change("shift", most=3)
    assert moved.shape == x.shape and (moved == 0).all(1).sum() <= min(3, length)
    assert (length > 0) <= len(change("crop", least=0.5)) <= length
    ids = np.array([0, *range(1, length + 1), 0], np.int64)
    kept = augmented(ids, [("word_dropout", {"rate": 0.5})], seed=0, epoch=0, sample=sample)
    assert kept[0] == kept[-1] == 0 and set(kept) <= set(ids)
    blanked = AUGMENTATIONS["word_dropout"](ids, draw_for("w", 0, 0, sample), rate=0.5, blank=99)
    assert len(blanked) == len(ids) and set(blanked) <= {*ids, 99} and blanked[0] == 0


def test_rates_of_change_are_what_they_say() -> None:
    kept = [
        len(augmented(IDS[1:], [("word_dropout", {"rate": 0.2})], seed=0, epoch=0, sample=n))
        for n in range(400)
    ]
    assert abs(np.mean(kept) / 49 - 0.8) < 0.01
    added = augmented(CHANGED, [("noise", {"deviation": 0.5})], seed=0, epoch=0, sample=0) - CHANGED
    assert abs(added.std() - 0.5) < 0.02
    everything = augmented(IDS[1:3], [("word_dropout", {"rate": 1.0})], seed=0, epoch=0, sample=0)
    assert len(everything) == 1, "one stays"


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("time_warp", {}, "unknown augmentation 'time_warp'.*time_mask"),
        ("time_mask", {"share": 2}, "share = 2. Expected 0 to 1"),
        ("noise", {"deviation": -1}, "deviation = -1"),
        ("crop", {"least": 1.5}, "least = 1.5"),
    ],
)
def test_changes_out_of_range(name: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        augmented(CHANGED, [(name, given)], seed=0, epoch=0, sample=0)


def test_handles_read_the_same_bytes_twice(tmp_path: Path) -> None:
    record = listed(resolve("spoken_digits"))[5]
    with record["sound"].open() as one, record["sound"].open() as other:
        assert one.read() == other.read() != b""
    assert isinstance(record["sound"].open(), io.BytesIO)
