"""How good predictions are: reports with bootstrap intervals for classes, several labels, numbers and tags.

Plain numpy in float64: the same predictions give the same figures, however they were batched.
"""

from unrolled.tasks.measures.bootstrap import Interval, difference, interval
from unrolled.tasks.measures.classes import ClassReport, ClassRow, measure_classes, paired_classes
from unrolled.tasks.measures.labels import LabelReport, measure_labels
from unrolled.tasks.measures.numbers import NumberReport, measure_numbers, paired_numbers
from unrolled.tasks.measures.report import Measure, Report
from unrolled.tasks.measures.tags import TagReport, measure_tags, paired_tags

__all__ = [
    "ClassReport",
    "ClassRow",
    "Interval",
    "LabelReport",
    "Measure",
    "NumberReport",
    "Report",
    "TagReport",
    "difference",
    "interval",
    "measure_classes",
    "measure_labels",
    "measure_numbers",
    "measure_tags",
    "paired_classes",
    "paired_numbers",
    "paired_tags",
]
