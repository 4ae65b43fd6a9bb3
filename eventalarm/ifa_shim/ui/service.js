// Requests to the API, and the identity that they carry.

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

// With `memory` the caller is forgotten when the page is closed or reloaded.
export function setCaller(value, memory = false) {
  who = value;
  if (value && !memory) sessionStorage.setItem(KEPT, JSON.stringify(value));
  else sessionStorage.removeItem(KEPT);
}

// The service's time in milliseconds: ages must not depend on the clock of the dashboard's computer.
export const serviceTime = () => Date.now() + skew;

export class Refused extends Error {}

function identity() {
  // Without a token, a proxy in front adds one.
  if (keystone) return who.token ? { "X-Auth-Token": who.token } : {};
  return { "X-Project-Id": who.project, "X-User-Id": "noc", "X-Roles": who.everywhere ? "admin,member,reader" : "member,reader" };
}

const get = (path) => request(path, { headers: identity() });

async function request(path, { method = "GET", headers, type, body }) {
  const answer = await fetch(root + path, {
    method,
    headers: { Accept: "application/json", ...headers, ...(type && { "Content-Type": type }) },
    body: body && JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
  });
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

// Return a token for the password of a user.
export async function requestToken(body) {
  return (await (await request("/ui/token", { method: "POST", type: "application/json", body })).json()).token;
}

// Set whether an alarm is acknowledged; it may be in that state already.
export async function acknowledge(id, ackState, comment) {
  const body = comment ? { ackState, comment } : { ackState };
  const path = `/vnffm/v1/alarms/${encodeURIComponent(id)}`;
  try {
    await request(path, { method: "PATCH", headers: identity(), type: "application/merge-patch+json", body });
  } catch (error) {
    if (error.status !== 409) throw error;
  }
}

export const fault = async (id) => (await get(`/vnffm/v1/alarms/${encodeURIComponent(id)}`)).json();

export const history = (id) => pages(`/ifa/v1/alarms/${encodeURIComponent(id)}/history?limit=${PAGE}`);
