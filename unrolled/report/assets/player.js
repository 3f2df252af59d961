// The tune's button, its moving playhead and the notes that light up. A click on the roll plays from there.
// Without WebAudio the button drives the embedded WAV instead.
(() => {
  const AHEAD = 0.25; // seconds scheduled in advance: enough for a busy page, short enough to stop at once
  let flute = null;
  let stopOther = () => {};

  const rollOf = (svg) => {
    const [left, rate, top, body, gap] = svg.dataset.roll.split(" ").map(Number);
    const edges = svg.dataset.systems.split(" ").map(Number);
    const head = svg.querySelector(".u-playhead");
    const notes = new Map();
    svg.querySelectorAll(".u-note").forEach((n) => notes.set(+n.dataset.i, [...(notes.get(+n.dataset.i) || []), n]));
    const move = (time) => {
      const system = Math.max(0, edges.findLastIndex((edge, i) => edge <= time && i < edges.length - 1));
      const x = left + (Math.min(time, edges[system + 1]) - edges[system]) * rate, y = top + system * (body + gap);
      Object.entries({ x1: x, x2: x, y1: y, y2: y + body }).forEach(([key, value]) => head.setAttribute(key, value));
    };
    const light = (index, on) => (notes.get(index) || []).forEach((note) => note.classList.toggle("on", on));
    const timeAt = (event) => {
      const box = svg.getBoundingClientRect(), unit = svg.viewBox.baseVal.width / box.width;
      const system = Math.floor(((event.clientY - box.top) * unit - top) / (body + gap));
      const at = Math.max(0, Math.min(edges.length - 2, system));
      const time = edges[at] + ((event.clientX - box.left) * unit - left) / rate;
      return Math.max(edges[at], Math.min(time, edges[at + 1]));
    };
    return { svg, move, light, timeAt };
  };
  const minutes = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

  document.querySelectorAll(".tune").forEach((figure) => {
    const notes = figure.dataset.notes.split(";").filter(Boolean).map((note) => note.split(",").map(Number));
    const button = figure.querySelector(".play"), clock = figure.querySelector(".clock");
    const recorded = figure.querySelector("audio");
    const synthetic = typeof AudioContext === "function" && typeof PeriodicWave === "function";
    if (!button || !notes.length || !(synthetic || recorded)) return;
    const word = button.querySelector(".word"), rolls = [...figure.querySelectorAll("svg[data-roll]")].map(rollOf);
    const total = Math.max(...notes.map(([start, length]) => start + length));
    let playing = false, began = 0, next = 0, frame = 0, timer = 0, turn = 0;
    const elapsed = () => (synthetic ? flute.now() - began : recorded.currentTime);

    const schedule = () => {
      const now = elapsed();
      while (next < notes.length && notes[next][0] < now + AHEAD) {
        const [start, length, midi] = notes[next++];
        if (start >= now - 0.05) flute.play(Math.max(began + start, flute.now()), length, midi);
      }
    };
    const paint = () => {
      const now = elapsed();
      clock.textContent = `${minutes(Math.max(now, 0))} / ${minutes(total)}`;
      rolls.forEach((roll) => {
        roll.move(Math.max(now, 0));
        notes.forEach(([start, length], i) => roll.light(i, playing && start <= now && now < start + length));
      });
      if (now > total + 0.3) stop();
      else if (playing) frame = requestAnimationFrame(paint);
    };
    const stop = () => {
      turn++;
      if (!playing) return;
      playing = false;
      cancelAnimationFrame(frame);
      clearInterval(timer);
      if (synthetic) flute.hush(); else recorded.pause();
      figure.classList.remove("playing");
      word.textContent = "Play";
      clock.textContent = `0:00 / ${minutes(total)}`;
      rolls.forEach((roll) => notes.forEach((_, i) => roll.light(i, false)));
    };
    const start = async (from) => {
      stopOther();
      stopOther = stop;
      const mine = ++turn; // a second click while the sound device wakes up wins
      if (synthetic) {
        flute = flute || makeFlute();
        await flute.ready();
        if (mine !== turn) return;
        began = flute.now() + 0.08 - from;
      } else {
        recorded.currentTime = from;
        await recorded.play();
      }
      if (mine !== turn) return;
      playing = true;
      next = notes.findIndex(([begin]) => begin >= from - 0.02);
      if (next < 0) next = notes.length;
      figure.classList.add("playing");
      word.textContent = "Stop";
      if (synthetic) {
        schedule();
        timer = setInterval(schedule, 60); // goes on in a hidden tab, where no frames are painted
      }
      paint();
    };
    button.hidden = false;
    button.addEventListener("click", () => (playing ? stop() : start(0)));
    rolls.forEach((roll) => roll.svg.addEventListener("click", (event) => start(roll.timeAt(event))));
  });
})();
