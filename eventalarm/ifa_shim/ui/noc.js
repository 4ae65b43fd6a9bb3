// The NOC dashboard: active alarms and the history of one alarm, live. Data is inserted as text, never as markup.

import { focusForm, showForm, whenChanged } from "./acknowledge.js";
import { play, switchSound, switchTheme } from "./controls.js";
import { Refused, active, caller, setCaller, fault, history, keystone, serviceTime } from "./service.js";
import { showSignIn, whenSignedIn } from "./sign_in.js";

const SEVERITIES = ["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"];
const EVERY = 2000;
const LONGEST = 30000;

const $ = (id) => document.getElementById(id);

let alarms = new Map();
let rows = new Map();
let only = new Set();
let chosen = null;
let timer = 0;
let wait = EVERY;
let loaded = false;

async function refresh() {
  clearTimeout(timer);
  const asked = caller();
  if (!asked) return;
  try {
    const { found, cut } = await active();
    if (caller() !== asked) return;
    announce(found);
    $("more").hidden = !cut;
    const touched = !chosen || JSON.stringify(found.get(chosen)) !== JSON.stringify(alarms.get(chosen));
    alarms = found;
    wait = EVERY;
    state("live", "Live");
    $("enter").hidden = true;
    $("board").hidden = $("leave").hidden = false;
    draw();
    if (chosen && touched) await detail(chosen);
  } catch (error) {
    if (caller() !== asked) return;
    if (error instanceof Refused) return signIn(error.message);
    wait = Math.min(wait * 2, LONGEST);
    state("lost", `No answer, retrying (${error.message})`);
  }
  if (caller() === asked) timer = setTimeout(refresh, wait);
}

function state(kind, text) {
  $("link").className = `link ${kind}`;
  if ($("link-text").textContent !== text) $("link-text").textContent = text;
}

function announce(found) {
  if (loaded) {
    for (const alarm of found.values()) {
      const old = alarms.get(alarm.alarmId);
      if (!old || old.alarmRaisedTime !== alarm.alarmRaisedTime) {
        report("raised", alarm, alarm.perceivedSeverity);
        play(alarm.perceivedSeverity);
      } else if (old.perceivedSeverity !== alarm.perceivedSeverity) report("now", alarm, alarm.perceivedSeverity);
    }
    for (const alarm of alarms.values()) if (!found.has(alarm.alarmId)) report("cleared", alarm, "");
  }
  loaded = true;
}

function report(what, alarm, severity) {
  const moment = new Date(serviceTime()).toISOString().slice(11, 19);
  $("latest").textContent = `${moment} UTC: ${what} ${severity} ${alarm.managedObjectId}, ${alarm.faultType}`;
}

function fact(alarm, key) {
  const found = alarm.faultDetails.find((text) => text.startsWith(`${key}=`));
  return found ? found.slice(key.length + 1) : "";
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function age(since) {
  const s = Math.max(0, Math.floor((serviceTime() - Date.parse(since)) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const acknowledged = (alarm) => alarm.ackState === "ACKNOWLEDGED";

const matches = (alarm) => {
  const word = $("find").value.trim().toLowerCase();
  const texts = [alarm.managedObjectId, alarm.faultType, fact(alarm, "aodh.alarm_name"), alarm.alarmId];
  return (!only.size || only.has(alarm.perceivedSeverity)) && (!word || texts.some((text) => text.toLowerCase().includes(word)));
};

function row(alarm) {
  let made = rows.get(alarm.alarmId);
  if (!made) {
    made = element("tr", "fresh");
    const pick = element("button", "pick");
    pick.type = "button";
    const cells = ["badge", "", "fault", "name", "age"].map(() => element("td"));
    cells[0].append(element("span", "badge"));
    cells[1].append(pick);
    cells[2].className = "fault";
    cells[3].className = "name";
    made.append(...cells);
    made.addEventListener("click", () => choose(alarm.alarmId));
    made.pick = pick;
    rows.set(alarm.alarmId, made);
  }
  const [severity, resource, kind, name] = made.cells;
  made.className = `${alarm.perceivedSeverity}${made.classList.contains("fresh") ? " fresh" : ""}${alarm.alarmId === chosen ? " chosen" : ""}${acknowledged(alarm) ? " acknowledged" : ""}`;
  severity.firstChild.textContent = alarm.perceivedSeverity;
  made.pick.textContent = alarm.managedObjectId;
  made.pick.setAttribute("aria-expanded", String(alarm.alarmId === chosen));
  resource.title = alarm.managedObjectId;
  kind.textContent = kind.title = alarm.faultType;
  name.title = fact(alarm, "aodh.alarm_name");
  name.textContent = acknowledged(alarm) ? `✓ acknowledged · ${name.title}` : name.title;
  made.since = alarm.alarmRaisedTime;
  return made;
}

function draw() {
  const shown = [...alarms.values()].filter(matches).sort((a, b) =>
    SEVERITIES.indexOf(a.perceivedSeverity) - SEVERITIES.indexOf(b.perceivedSeverity)
    || b.alarmRaisedTime.localeCompare(a.alarmRaisedTime) || a.alarmId.localeCompare(b.alarmId));
  const body = $("rows");
  const focused = document.activeElement;
  const listed = new Set();
  shown.forEach((alarm, place) => {
    const one = row(alarm);
    listed.add(one);
    if (body.children[place] !== one) body.insertBefore(one, body.children[place] || null);
  });
  for (const one of [...body.children]) if (!listed.has(one)) one.remove();
  for (const id of [...rows.keys()]) if (!alarms.has(id)) rows.delete(id);
  // An element loses the focus when it is moved.
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  $("none").hidden = shown.length > 0;
  $("none").textContent = alarms.size ? "No active alarm matches" : "No active alarms";
  $("alarms").hidden = shown.length === 0;
  $("total").textContent = String(alarms.size);
  document.title = alarms.size ? `(${alarms.size}) Alarms` : "Alarms";
  counts();
  ages();
}

function counts() {
  const group = $("counts");
  if (!group.children.length) {
    for (const severity of SEVERITIES) {
      const button = element("button", severity);
      button.type = "button";
      button.append(element("b"), element("span", `badge ${severity}`, severity));
      button.addEventListener("click", () => {
        if (!only.delete(severity)) only.add(severity);
        draw();
      });
      group.append(button);
    }
  }
  SEVERITIES.forEach((severity, place) => {
    const count = [...alarms.values()].filter((alarm) => alarm.perceivedSeverity === severity).length;
    const button = group.children[place];
    button.firstChild.textContent = String(count);
    button.classList.toggle("zero", count === 0);
    button.setAttribute("aria-pressed", String(only.has(severity)));
  });
}

function ages() {
  for (const one of $("rows").children) {
    const text = age(one.since);
    if (one.cells[4].textContent !== text) one.cells[4].textContent = text;
  }
}

async function choose(id) {
  chosen = id;
  draw();
  await detail(id);
  $("detail-title").focus({ preventScroll: true });
}

// Open the form for the selected alarm, or for the one in the list that has the focus.
async function askForAcknowledgement() {
  const [focused] = [...rows].find(([, one]) => one.pick === document.activeElement) || [];
  if (!chosen && !focused) return;
  if (focused && focused !== chosen) await choose(focused);
  focusForm();
}

function close() {
  const one = rows.get(chosen);
  chosen = null;
  $("detail").hidden = true;
  draw();
  (one?.isConnected ? one.pick : $("alarms")).focus();
}

async function detail(id) {
  let alarm, past;
  try {
    [alarm, past] = await Promise.all([fault(id), history(id)]);
  } catch (error) {
    if (error instanceof Refused) return signIn(error.message);
    if (error.status !== 404 || chosen !== id) return;
    // The alarm no longer exists.
    chosen = null;
    $("detail").hidden = true;
    return;
  }
  if (chosen !== id) return;
  $("detail").hidden = false;
  showForm(alarm);
  $("detail-title").textContent = alarm.managedObjectId;
  $("facts").replaceChildren(...facts(alarm).flatMap(([name, text]) => {
    const value = element("dd", "", text);
    if (name === "Severity") value.className = `badge ${text}`;
    return [element("dt", "", name), value];
  }));
  $("timeline").replaceChildren(...past.found.reverse().map(moment));
  if (past.cut) $("timeline").append(element("li", "", "Older entries are not shown."));
}

function facts(alarm) {
  const resource = alarm.rootCauseFaultyResource;
  return [
    ["Severity", alarm.perceivedSeverity],
    ["Fault", alarm.faultType],
    ["Cause", alarm.probableCause],
    ["Kind", resource ? `${resource.faultyResourceType} ${resource.faultyResource.vimLevelResourceType || ""}` : ""],
    ["Alarm", fact(alarm, "aodh.alarm_name")],
    ["Raised", local(alarm.alarmRaisedTime)],
    ["Changed", local(alarm.alarmChangedTime)],
    ["Cleared", local(alarm.alarmClearedTime)],
    ["Acknowledged", alarm.ackState === "ACKNOWLEDGED" ? local(alarm.alarmAcknowledgedTime) : "no"],
    ["Hits", fact(alarm, "hits")],
    ["ID", alarm.id],
  ].filter(([, text]) => text);
}

const local = (time) => (time ? `${time.slice(0, 10)} ${time.slice(11, 19)} UTC` : "");

function moment(entry) {
  const made = element("li", entry.kind === "cleared" ? "CLEARED" : entry.perceivedSeverity || "");
  const time = element("time", "", local(entry.time));
  time.dateTime = entry.time;
  made.append(element("b", "", entry.kind), " ", time);
  if (entry.event) made.append(element("p", "", `${entry.event.event_type} (${entry.event.message_id})`));
  // The query is long and the same in every entry.
  const reason = entry.reason.replace(/ ?<query=.*/s, "…");
  if (reason) made.append(element("p", "", reason.length > 200 ? `${reason.slice(0, 200)}…` : reason));
  if (entry.manual || entry.userId) made.append(element("p", "", entry.userId ? `by ${entry.userId}` : "set manually"));
  return made;
}

function signIn(problem) {
  setCaller(null);
  clearTimeout(timer);
  loaded = false;
  chosen = null;
  alarms = new Map();
  $("board").hidden = $("detail").hidden = $("leave").hidden = true;
  $("latest").textContent = "";
  state("", "Not connected");
  showSignIn(problem || "");
}

const KEYS = { a: askForAcknowledgement, d: switchTheme, s: switchSound };

whenSignedIn(refresh);
whenChanged(refresh);
$("leave").addEventListener("click", () => signIn(""));
$("close").addEventListener("click", close);
$("find").addEventListener("input", draw);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "Escape" && typing && $("find").value) {
    $("find").value = "";
    draw();
  } else if (event.key === "Escape" && chosen) {
    close();
  } else if (event.key === "/" && !typing && !$("board").hidden) {
    event.preventDefault();
    $("find").focus();
  } else if (Object.hasOwn(KEYS, event.key) && !typing && !$("board").hidden) {
    event.preventDefault();
    KEYS[event.key]();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    move(event, event.key === "ArrowDown" ? 1 : -1);
  }
});

function move(event, step) {
  const picks = [...$("rows").children].map((one) => one.pick);
  const inside = $("detail").contains(event.target);
  if (!picks.length || inside || (event.target instanceof HTMLInputElement && step < 0)) return;
  event.preventDefault();
  const place = picks.indexOf(document.activeElement);
  picks[Math.min(Math.max(place + step, 0), picks.length - 1)].focus();
}

// The demo's link names the project: /ui#project=ID.
const linked = new URLSearchParams(location.hash.slice(1)).get("project");
if (linked && !keystone) {
  setCaller({ project: linked, everywhere: false });
  window.history.replaceState(null, "", location.pathname);
}
setInterval(ages, 1000);
if (caller()) refresh();
else signIn("");
