// A soft plucked flute: a few sine partials in one wave, a quick breath at the start, a plucked envelope, a small room.
// Nothing sounds, and no audio context exists, before the reader's first click.
const makeFlute = () => {
  const context = new AudioContext();
  const master = new GainNode(context, { gain: 0.5 });
  const soften = new DynamicsCompressorNode(context, { threshold: -16, ratio: 4 });
  const room = new ConvolverNode(context, { buffer: echoes(context) });
  const wet = new GainNode(context, { gain: 0.22 });
  master.connect(soften).connect(context.destination);
  master.connect(room).connect(wet).connect(soften);
  const wave = context.createPeriodicWave(new Float32Array(6), new Float32Array([0, 1, 0.26, 0.12, 0.035, 0.015]));
  const breath = noise(context, 0.2);
  const voices = new Set();

  // One note: `at` in context seconds, `seconds` long. The gain falls like a string's, the tail is short like a flute's.
  const play = (at, seconds, midi) => {
    const pitch = 440 * Math.pow(2, (midi - 69) / 12);
    const voice = new OscillatorNode(context, { frequency: pitch });
    voice.setPeriodicWave(wave);
    const body = new GainNode(context, { gain: 0 });
    const loud = 0.42 * Math.pow(440 / pitch, 0.25); // high notes carry further
    const end = at + seconds * 0.96;
    body.gain.setValueAtTime(0, at);
    body.gain.linearRampToValueAtTime(loud, at + 0.014);
    body.gain.setTargetAtTime(loud * 0.42, at + 0.014, 0.16);
    body.gain.setTargetAtTime(0, end, 0.055);
    const tone = new BiquadFilterNode(context, { type: "lowpass", frequency: Math.min(9000, pitch * 7), Q: 0.4 });
    voice.connect(body).connect(tone).connect(master);
    if (seconds > 0.4) vibrato(context, voice, at + 0.25, end, pitch * 0.004);
    voice.start(at);
    voice.stop(end + 0.4);
    const puff = new AudioBufferSourceNode(context, { buffer: breath });
    const band = new BiquadFilterNode(context, { type: "bandpass", frequency: pitch * 2, Q: 1.2 });
    const hush = new GainNode(context, { gain: 0.05 });
    hush.gain.setValueAtTime(0.05, at);
    hush.gain.setTargetAtTime(0, at + 0.01, 0.03);
    puff.connect(band).connect(hush).connect(master);
    puff.start(at, 0, 0.2);
    for (const source of [voice, puff]) {
      voices.add(source);
      source.onended = () => voices.delete(source);
    }
  };
  // Quick fade, so that stopping doesn't click; then whatever was scheduled is gone.
  const hush = () => {
    const now = context.currentTime;
    master.gain.cancelScheduledValues(now);
    master.gain.setTargetAtTime(0, now, 0.02);
    voices.forEach((voice) => voice.stop(now + 0.12));
    voices.clear();
  };
  const ready = async () => {
    await context.resume();
    master.gain.cancelScheduledValues(context.currentTime);
    master.gain.setValueAtTime(0.5, context.currentTime);
  };
  return { play, hush, ready, now: () => context.currentTime };
};

const vibrato = (context, voice, from, until, depth) => {
  const wobble = new OscillatorNode(context, { frequency: 4.8 });
  const amount = new GainNode(context, { gain: 0 });
  amount.gain.setValueAtTime(0, from);
  amount.gain.linearRampToValueAtTime(depth, from + 0.25);
  wobble.connect(amount).connect(voice.frequency);
  wobble.start(from);
  wobble.stop(Math.max(until, from) + 0.4);
};

// Noise from a fixed seed: the same breath and the same room every time.
const noise = (context, seconds, shape = () => 1, channels = 1, seed = 1) => {
  const buffer = new AudioBuffer({ length: Math.ceil(seconds * context.sampleRate), numberOfChannels: channels, sampleRate: context.sampleRate });
  for (let c = 0; c < channels; c++) {
    const data = buffer.getChannelData(c);
    for (let i = 0; i < data.length; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      data[i] = (seed / 2147483648 - 1) * shape(i / data.length);
    }
  }
  return buffer;
};
const echoes = (context) => noise(context, 1.4, (part) => Math.pow(1 - part, 3.2), 2, 7);
