// The microphone: recorded as the browser likes it, handed on as WAV (16 kHz, one channel, 16 bits).

const SECONDS = 12; // of a recording, at most
const PAUSE = 1.2; // seconds of silence after which who spoke has said it
const KINDS = ["audio/webm;codecs=opus", "audio/webm", "audio/mp4"]; // Safari records the last alone

/** What this browser records; undefined where it shall choose. */
export const kind = () => KINDS.find((type) => MediaRecorder.isTypeSupported?.(type));

/** Tells from one loudness (RMS) after another, and when each was, whether somebody has spoken and is silent since. */
export function pauses() {
  let floor = Infinity, spoken = 0, last = 0, before = 0;
  return (loud, seconds) => {
    floor = Math.min(loud, floor * (1 + 0.1 * (seconds - before))); // of the room; it may get louder
    if (loud > Math.max(0.01, 4 * floor)) (spoken += seconds - before), (last = seconds);
    before = seconds;
    return spoken > 0.25 && seconds - last > PAUSE;
  };
}

export const recorder = {
  media: null,
  on: () => {}, // whether it records, for the looks
  heard: () => {}, // how loud it is, from 0 to 1, and for how many seconds it has been recording

  /** Record until `stop`, until silence, or for SECONDS; gives a file, or null if it was dropped. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("The browser gives a microphone only to pages of this machine or of https.");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      throw new Error(error.name === "NotFoundError" ? "No microphone was found." : "The microphone may not be used; allow it in the browser.");
    }
    const type = kind(), parts = [], media = (this.media = new MediaRecorder(stream, type ? { mimeType: type } : {}));
    const context = new AudioContext(), level = context.createAnalyser(), silent = pauses();
    context.createMediaStreamSource(stream).connect(level);
    context.resume(); // Safari starts it only for who asks
    const started = performance.now(), samples = new Float32Array(level.fftSize);
    media.ondataavailable = (event) => parts.push(event.data);
    const ended = new Promise((resolve) => (media.onstop = resolve));
    const watch = () => {
      if (media.state !== "recording") return;
      const seconds = (performance.now() - started) / 1000;
      level.getFloatTimeDomainData(samples);
      const loud = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
      if (seconds > SECONDS || silent(loud, seconds)) return this.stop();
      this.heard(Math.min(1, 5 * loud), seconds);
      requestAnimationFrame(watch);
    };
    this.dropped = false;
    media.start();
    this.on(true);
    watch();
    await ended;
    stream.getTracks().forEach((track) => track.stop());
    context.close();
    this.on(false);
    if (this.dropped) return null;
    const recorded = new Blob(parts, { type: media.mimeType || type });
    if (!recorded.size) throw new Error("Nothing was recorded; try again.");
    const content = await wav(recorded).catch(() => null);
    if (content) return new File([content], "spoken query", { type: "audio/wav" });
    return new File([recorded], "spoken query", { type: recorded.type.split(";")[0] }); // the service reads it too
  },

  stop(dropped = false) {
    if (this.media?.state !== "recording") return;
    this.dropped = dropped;
    this.media.stop();
  },
};

async function wav(blob, rate = 16000) {
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
  const mixed = new OfflineAudioContext(1, Math.max(1, Math.round(decoded.duration * rate)), rate);
  const source = Object.assign(mixed.createBufferSource(), { buffer: decoded });
  source.connect(mixed.destination);
  source.start();
  const samples = (await mixed.startRendering()).getChannelData(0), size = 2 * samples.length;
  const view = new DataView(new ArrayBuffer(44 + size));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt()));
  text(0, "RIFF"), view.setUint32(4, 36 + size, true), text(8, "WAVEfmt "), view.setUint32(16, 16, true);
  view.setUint16(20, 1, true), view.setUint16(22, 1, true), view.setUint32(24, rate, true), view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true), view.setUint16(34, 16, true), text(36, "data"), view.setUint32(40, size, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, value)), true));
  return view.buffer;
}
