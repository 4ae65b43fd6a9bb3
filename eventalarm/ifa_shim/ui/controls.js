// The switches of the dashboard: dark or light, and the sound of new alarms, which is off until it is asked for.

const THEME = "eventalarm.theme";
const LENGTH = 0.3;
const PITCH = { CRITICAL: 880, MAJOR: 660 };

const root = document.documentElement;
const sound = document.getElementById("sound");
const theme = document.getElementById("theme");

let audio = null;
let played = 0;

const darkByDefault = () => !matchMedia("(prefers-color-scheme: light)").matches;

export function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : darkByDefault();
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem(THEME, root.dataset.theme);
}

export function switchSound() {
  if (audio) audio.close();
  audio = audio ? null : new AudioContext();
  sound.setAttribute("aria-pressed", String(Boolean(audio)));
}

// Sound once for an alarm of a severity, if the sound is on.
export function play(severity) {
  if (!audio) return;
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.frequency.value = PITCH[severity] || 440;
  volume.gain.value = 0.1;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + LENGTH);
  played += 1;
  sound.dataset.played = String(played);
}

const kept = localStorage.getItem(THEME);
if (kept === "dark" || kept === "light") root.dataset.theme = kept;
theme.addEventListener("click", switchTheme);
sound.addEventListener("click", switchSound);
