// The form by which a user signs in: a password or a token of Keystone, or a project where authentication is disabled.

import { keystone, requestToken, setCaller } from "./service.js";

const $ = (id) => document.getElementById(id);
const password = keystone && document.body.dataset.password === "yes";
const FIELDS = { user: "user", userDomain: "user-domain", password: "password", project: "project-name", projectDomain: "project-domain" };

export function showSignIn(problem) {
  $("enter").hidden = false;
  $("refused").textContent = problem;
  $(password ? "user" : keystone ? "token" : "project").focus();
}

export function whenSignedIn(call) {
  for (const [form, signIn] of [["by-password", byPassword], ["by-name", byName]]) {
    $(form).addEventListener("submit", async (event) => {
      event.preventDefault();
      $("refused").textContent = "";
      try {
        if (await signIn($("everywhere").checked)) call();
      } catch (error) {
        $("refused").textContent = error.message;
      }
    });
  }
}

// Sign in by a token or, without authentication, by the name of a project; return false if there is none.
function byName(everywhere) {
  const name = $(keystone ? "token" : "project").value.trim();
  if (!name && !keystone) return false;
  // Without a token, a proxy in front adds one.
  setCaller({ [keystone ? "token" : "project"]: name, everywhere });
  $("token").value = "";
  return true;
}

async function byPassword(everywhere) {
  const fields = Object.entries(FIELDS).map(([name, id]) => [name, id === "password" ? $(id).value : $(id).value.trim()]);
  $("password").value = "";
  setCaller({ token: await requestToken(Object.fromEntries(fields)), everywhere }, true);
  return true;
}
