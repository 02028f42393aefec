// Asks for a token. It goes nowhere but to this server, in a header or in the connection's first message.

import { el } from "./dom.js";

const HOW = "sensorcast token --org ORG --role viewer --ttl 8h";

export class LoginView {
  constructor({ reason, onToken }) {
    this.title = "Sign in";
    this.field = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
    this.el = el("form", { class: "login card", on: { submit: (event) => this.submitted(event, onToken) } },
      el("h1", { text: "Sign in" }),
      el("p", { text: "Paste an access token, or open the login link you were given." }),
      el("label", { for: "token", text: "Access token" }), this.field,
      el("p", { class: "problem", role: "alert", text: reason }),
      el("button", { class: "primary", text: "Open dashboard" }),
      el("details", {}, el("summary", { text: "Where do I get one?" }), "Whoever runs this server makes one with", el("code", { text: HOW })));
  }

  mount() {
    this.field.focus();
  }

  unmount() {}

  submitted(event, onToken) {
    event.preventDefault();
    onToken(this.field.value.trim());
  }
}
