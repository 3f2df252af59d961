// A file's rows as objects, and what the model reads of one.

// The rows of a CSV file; its delimiter is the one that its first line holds most often. An empty cell is null.
export function rowsOf(text) {
  const first = text.split("\n", 1)[0];
  const marks = [",", ";", "\t", "|"];
  const mark = marks.sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const [names, ...lines] = cellsOf(text.replace(/^\ufeff/, ""), mark);
  const columns = names.map((name) => name.trim());
  const rows = [];
  let blank = 0;
  for (const cells of lines) {
    if (cells.length === 1 && cells[0] === null) {
      blank += 1;
      continue;
    }
    if (cells.length !== columns.length) throw new Error(`${cells.length} cells where ${columns.length} were expected`);
    if (columns.length === 1) rows.push(...Array.from({ length: blank }, () => ({ [columns[0]]: null })));
    blank = 0;
    rows.push(Object.fromEntries(columns.map((name, at) => [name, cells[at] || null])));
  }
  return rows;
}

// Lines of cells, quotes and line breaks inside them understood; of a blank line one null.
export function cellsOf(text, mark) {
  const lines = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    const line = lines[lines.length - 1];
    if (quoted) {
      if (sign === '"' && text[at + 1] === '"') line[line.length - 1] += text[++at];
      else if (sign === '"') quoted = false;
      else line[line.length - 1] += sign;
    } else if (sign === '"' && line[line.length - 1] === "") quoted = true;
    else if (sign === mark) line.push("");
    else if (sign === "\n") lines.push([""]);
    else if (sign !== "\r") line[line.length - 1] += sign;
  }
  return lines.map((line) => (line.length === 1 && line[0] === "" ? [null] : line));
}

// JSON: an object, a list of them, or one a line.
export function objectsOf(text, lines) {
  return lines ? text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line)) : [JSON.parse(text)].flat();
}

// The rows as the model's sequences: of a long table those of each id are one, its steps in the order of time.
export function gathered(rows, long) {
  if (!long) return rows;
  const groups = new Map();
  for (const row of rows) groups.set(row[long.id], [...(groups.get(row[long.id]) ?? []), row]);
  return Array.from(groups.values(), (own) => {
    if (long.time) own.sort((a, b) => seconds(a[long.time]) - seconds(b[long.time]));
    const series = own.map((row) => long.values.map((name) => row[name]));
    return { ...own[0], series, ...Object.fromEntries(long.categories.map((name) => [name, own.map((row) => row[name])])) };
  });
}

// A time to sort by: a number, or an ISO date, UTC where it names no zone.
function seconds(value) {
  const text = String(value).trim();
  const found = Number.isNaN(Number(text)) ? Date.parse(/T.*([zZ]|[+-]\d\d:?\d\d)$|^[\d-]+$/.test(text) ? text : `${text.replace(" ", "T")}Z`) : Number(text);
  if (Number.isNaN(found)) throw new Error(`${text} is no time`);
  return found;
}

// What the model reads of a row: its column, or an object of several.
export function valueOf(row, names) {
  const read = names.map((name) => [name, name in row ? row[name] : seriesOf(row, name, names.length > 1)]);
  return names.length > 1 ? Object.fromEntries(read) : read[0][1];
}

// Numbered columns as one series: those of this name, or else the most frequent; of several columns only where theirs is
// the usual name.
function seriesOf(row, wanted, several) {
  const stems = {};
  for (const key of Object.keys(row).filter((one) => /\d$/.test(one))) (stems[key.match(/^\D*/)[0]] ??= []).push(key);
  const bare = (stem) => stem.replace(/^[ _.-]+|[ _.-]+$/g, "");
  const rank = (stem) => (bare(stem) === wanted ? 1e9 : 0) + stems[stem].length;
  const best = Object.keys(stems).sort((a, b) => rank(b) - rank(a))[0];
  if (best === undefined || (several && ![bare(best), "series"].includes(wanted))) {
    throw new Error(`no column ${wanted}; there are ${Object.keys(row).join(", ")}`);
  }
  const numbers = (key) => key.match(/\d+/g).map(Number);
  const after = (a, b) => a.map((number, at) => number - b[at]).find((gap) => gap) ?? 0;
  return stems[best].sort((a, b) => after(numbers(a), numbers(b))).map((key) => row[key]);
}
