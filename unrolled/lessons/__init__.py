"""The course: each stop is a Markdown file in `stops` and one small experiment here that draws its picture."""
