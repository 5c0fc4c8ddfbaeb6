// The microphone: recorded as the browser likes it, handed on as WAV (16 kHz, one channel, 16 bits).

const SECONDS = 12; // of a recording, at most

export const recorder = {
  media: null,
  on: () => {}, // whether it records, for the looks
  heard: () => {}, // how loud it is, from 0 to 1, and for how many seconds it has been recording

  /** Record until `stop` or for SECONDS; gives a WAV file, or null if it was dropped. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("The browser gives a microphone only to pages of this machine or of https.");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      throw new Error(error.name === "NotFoundError" ? "No microphone was found." : "The microphone may not be used; allow it in the browser.");
    }
    const parts = [], media = (this.media = new MediaRecorder(stream));
    const context = new AudioContext(), level = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(level);
    const started = performance.now(), samples = new Float32Array(level.fftSize);
    media.ondataavailable = (event) => parts.push(event.data);
    const ended = new Promise((resolve) => (media.onstop = resolve));
    const watch = () => {
      if (media.state !== "recording") return;
      const seconds = (performance.now() - started) / 1000;
      if (seconds > SECONDS) return this.stop();
      level.getFloatTimeDomainData(samples);
      const loud = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
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
    const content = await wav(new Blob(parts)).catch(() => null);
    if (!content) throw new Error("Nothing was recorded; try again.");
    return new File([content], "spoken query", { type: "audio/wav" });
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
