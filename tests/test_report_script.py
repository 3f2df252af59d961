"""The report's script in a page made of a few lines: what the arrow keys read."""

from __future__ import annotations

import json
import shutil
import subprocess

from unrolled.report.frame import asset

PAGE = """
const node = () => ({ style: {}, attributes: {}, setAttribute(k, v) { this.attributes[k] = v; }, append() {},
  getAttribute(k) { return this.attributes[k]; }, 
  getBoundingClientRect: () => ({ left: 0, top: 0, width: 100, height: 50 }) });
const heard = {}, made = [];
const svg = Object.assign(node(), { addEventListener: (name, what) => (heard[name] = what), querySelectorAll: () => [],
  viewBox: { baseVal: { width: 100, height: 50 } },
  dataset: { grid: "2 3 0.0 254.0 10 10 70 50", cells: btoa("\\x00\\x01\\x02\\x03\\x04\\x05"),
    rows: "a\\nb", columns: "x\\ny\\nz" } });
svg.attributes["aria-label"] = "Gates";
globalThis.innerWidth = 100;
globalThis.document = { body: node(), createElement: () => (made.push(node()), made[0]), createElementNS: node,
  querySelectorAll: (which) => (which.includes("data-grid") ? [svg] : []) };
SCRIPT
const said = "Up Left Down Right Right Right".split(" ").map((way) => {
  heard.keydown({ key: "Arrow" + way, preventDefault() {} });
  return made[0].textContent.replace("\\n", " ");
});
console.log(JSON.stringify([svg.attributes["aria-label"], ...said]));
"""


def test_a_matrix_is_read_cell_by_cell_with_the_arrow_keys() -> None:
    code = asset("hover.js")
    assert all(f"Arrow{way}" in code for way in ("Left", "Right", "Up", "Down"))
    if node := shutil.which("node"):
        page = PAGE.replace("SCRIPT", code)
        done = subprocess.run([node, "-"], input=page, text=True, capture_output=True, timeout=20)
        assert done.returncode == 0, done.stderr
        label, *said = json.loads(done.stdout)
        assert label == "Gates; the arrow keys read it cell by cell"
        cells = ["a × z ≈ 2", "a × y ≈ 1", "b × y ≈ 4", "b × z ≈ 5", "b × z ≈ 5", "b × z ≈ 5"]
        assert said == cells, "and it stays within the matrix"
