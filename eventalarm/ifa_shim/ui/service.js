// Requests to the API, and the identity that they carry. They only read.

const PAGE = 100;
const MOST = 500;
const KEPT = "eventalarm.who";

const { root, auth } = document.body.dataset;
export const keystone = auth === "keystone";

let who = read();
let skew = 0;

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

// The caller: {token} or {project}, and `everywhere` for all projects; null when signed out.
export const caller = () => who;

export function setCaller(value) {
  who = value;
  if (value) sessionStorage.setItem(KEPT, JSON.stringify(value));
  else sessionStorage.removeItem(KEPT);
}

// The service's time in milliseconds: ages must not depend on the clock of the dashboard's computer.
export const serviceTime = () => Date.now() + skew;

export class Refused extends Error {}

function identity() {
  // Without a token, a proxy in front adds one.
  if (keystone) return who.token ? { "X-Auth-Token": who.token } : {};
  return { "X-Project-Id": who.project, "X-User-Id": "noc", "X-Roles": who.everywhere ? "admin,reader" : "reader" };
}

async function get(path) {
  const headers = { Accept: "application/json", ...identity() };
  const answer = await fetch(root + path, { headers, cache: "no-store", credentials: "omit" });
  const date = answer.headers.get("Date");
  if (date) skew = Date.parse(date) + 500 - Date.now();
  if (answer.ok) return answer;
  let detail = answer.statusText;
  try {
    detail = (await answer.json()).detail || detail;
  } catch { /* the error came from a proxy */ }
  if (answer.status === 401 || answer.status === 403) throw new Refused(detail);
  throw Object.assign(new Error(`${answer.status} ${detail}`), { status: answer.status });
}

// Follow the pages of a listing up to MOST entries; `cut` is true if there are more.
async function pages(path) {
  let found = [];
  let marker;
  do {
    const answer = await get(marker ? `${path}&nextpage_opaque_marker=${marker}` : path);
    found = found.concat(await answer.json());
    marker = /[?&]nextpage_opaque_marker=([^&>]+)/.exec(answer.headers.get("Link") || "")?.[1];
  } while (marker && found.length < MOST);
  return { found, cut: Boolean(marker) };
}

export async function active() {
  const { found, cut } = await pages(`/ifa/v1/alarms?limit=${PAGE}${who.everywhere ? "&all_projects=true" : ""}`);
  return { found: new Map(found.map((alarm) => [alarm.alarmId, alarm])), cut };
}

export const fault = async (id) => (await get(`/vnffm/v1/alarms/${encodeURIComponent(id)}`)).json();

export const history = (id) => pages(`/ifa/v1/alarms/${encodeURIComponent(id)}/history?limit=${PAGE}`);
