"use strict";
// Values under the pointer (or the arrow keys) for line charts and matrices, and the copy buttons.
// Text goes in by textContent only: nothing here ever parses a name as markup.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const card = document.createElement("div");
  card.className = "card";
  card.hidden = true;
  card.setAttribute("role", "status");
  document.body.append(card);

  const round = (v) => {
    if (!Number.isFinite(v)) return "–";
    if (v !== 0 && Math.abs(v) < 1e-3) return v.toExponential(2);
    return Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en").replaceAll(",", "\u202f") : String(+v.toPrecision(4));
  };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const clip = (share) => Math.max(0, Math.min(1, share));
  const invert = (text) => {
    const [low, high, start, stop, log] = text.split(" ").map(Number);
    return (px) => {
      const part = (px - start) / (stop - start);
      return log ? low * Math.pow(high / low, part) : low + (high - low) * part;
    };
  };
  const show = (text, x, y) => {
    card.textContent = text;
    card.hidden = false;
    const box = card.getBoundingClientRect();
    card.style.left = Math.max(6, Math.min(x + 16, innerWidth - box.width - 6)) + "px";
    card.style.top = Math.max(6, y - box.height - 12) + "px";
  };
  const add = (svg, name, kind) => {
    const mark = document.createElementNS(NS, name);
    mark.setAttribute("class", kind);
    svg.append(mark);
    return mark;
  };
  const set = (node, values) => Object.entries(values).forEach(([key, value]) => node.setAttribute(key, value));

  // A reader of a picture: (x, y) in its own units -> the words for the card, after it has drawn its mark. `move` takes
  // the place [across, down], shares of the picture, one step of an arrow key on; null where that key does nothing.
  const lines = (svg) => {
    const toX = invert(svg.dataset.x), toY = invert(svg.dataset.y);
    const ends = svg.dataset.y.split(" ").map(Number);
    const curves = [...svg.querySelectorAll("path[data-name]")].map((path) => ({
      name: path.dataset.name,
      points: (path.getAttribute("d").match(/-?[\d.]+ -?[\d.]+/g) || []).map((p) => p.split(" ").map(Number)),
    }));
    let mark = null;
    const read = (x) => {
      const all = curves.flatMap((curve) => curve.points);
      if (!all.length) return "";
      const at = all.reduce((best, p) => (Math.abs(p[0] - x) < Math.abs(best[0] - x) ? p : best))[0];
      mark = mark || add(svg, "line", "u-cross");
      set(mark, { x1: at, x2: at, y1: ends[2], y2: ends[3] });
      const rows = curves.map(({ name, points }) => {
        const near = points.reduce((best, p) => (!best || Math.abs(p[0] - at) < Math.abs(best[0] - at) ? p : best), null);
        return near && Math.abs(near[0] - at) < 12 ? `${name}  ${round(toY(near[1]))}` : "";
      });
      return [`${svg.dataset.label} ${round(toX(at))}`, ...rows.filter(Boolean)].join("\n");
    };
    const move = ([across, down], [right, below]) => (below ? null : [clip(across + 0.02 * right), down]);
    return { read, move, hint: "the left and right arrow keys read the values" };
  };
  const cells = (svg) => {
    const [rows, columns, low, high, left, top, right, bottom] = svg.dataset.grid.split(" ").map(Number);
    const levels = Uint8Array.from(atob(svg.dataset.cells), (c) => c.charCodeAt(0));
    const names = [svg.dataset.rows.split("\n"), svg.dataset.columns.split("\n")];
    const box = svg.viewBox.baseVal;
    let mark = null;
    const read = (x, y) => {
      const i = Math.floor(((y - top) / (bottom - top)) * rows), j = Math.floor(((x - left) / (right - left)) * columns);
      if (i < 0 || j < 0 || i >= rows || j >= columns) return "";
      const wide = (right - left) / columns, tall = (bottom - top) / rows;
      mark = mark || add(svg, "rect", "u-cell");
      set(mark, { x: left + j * wide, y: top + i * tall, width: wide, height: tall });
      const level = levels[i * columns + j];
      const value = level === 255 ? "no number" : "≈ " + round(low + ((high - low) * level) / 254);
      return `${names[0][i] || "row " + i} × ${names[1][j] || "column " + j}\n${value}`;
    };
    // From the middle of one cell to the middle of the next.
    const cell = (place, low, high, count) => Math.floor(((place - low) / (high - low)) * count);
    const middle = (index, low, high, count) => low + ((Math.max(0, Math.min(count - 1, index)) + 0.5) * (high - low)) / count;
    const move = ([across, down], [toRight, below]) => [
      middle(cell(across * box.width, left, right, columns) + toRight, left, right, columns) / box.width,
      middle(cell(down * box.height, top, bottom, rows) + below, top, bottom, rows) / box.height,
    ];
    return { read, move, hint: "the arrow keys read it cell by cell" };
  };

  document.querySelectorAll("svg[data-x], svg[data-grid]").forEach((svg) => {
    const { read, move, hint } = svg.dataset.grid ? cells(svg) : lines(svg);
    const at = (x, y) => {
      const box = svg.getBoundingClientRect(), unit = svg.viewBox.baseVal.width / box.width;
      const text = read((x - box.left) * unit, (y - box.top) * unit);
      if (text) show(text, x, y); else card.hidden = true;
    };
    let place = [0.5, 0.5];
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}; ${hint}`);
    svg.addEventListener("pointermove", (event) => at(event.clientX, event.clientY));
    svg.addEventListener("pointerleave", () => (card.hidden = true));
    svg.addEventListener("blur", () => (card.hidden = true));
    svg.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key], moved = arrow && move(place, arrow);
      if (!moved) return;
      event.preventDefault();
      place = moved;
      const box = svg.getBoundingClientRect();
      at(box.left + place[0] * box.width, box.top + place[1] * box.height);
    });
  });

  document.querySelectorAll(".copy").forEach((button) => {
    const text = button.parentElement.querySelector("pre");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => (button.textContent = "Copy"), 1600);
    });
  });
})();
