// The form that acknowledges the selected alarm with a comment, or removes its acknowledgement.

import { acknowledge } from "./service.js";

const $ = (id) => document.getElementById(id);

let shown = null;
let changed = () => {};

const acknowledged = () => shown.ackState === "ACKNOWLEDGED";

// Show the form for an alarm; what is typed stays while the alarm is the same.
export function showForm(alarm) {
  if (shown?.id !== alarm.id) {
    $("comment").value = "";
    $("ack-refused").textContent = "";
  }
  shown = alarm;
  $("ack-label").hidden = acknowledged();
  $("ack-set").textContent = acknowledged() ? "Remove the acknowledgement" : "Acknowledge";
}

export function focusForm() {
  (acknowledged() ? $("ack-set") : $("comment")).focus();
}

export function whenChanged(call) {
  changed = call;
}

$("ack").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { id } = shown;
  $("ack-refused").textContent = "";
  try {
    if (acknowledged()) await acknowledge(id, "UNACKNOWLEDGED");
    else await acknowledge(id, "ACKNOWLEDGED", $("comment").value.trim());
  } catch (error) {
    $("ack-refused").textContent = error.message;
    return;
  }
  $("comment").value = "";
  changed(id);
});
