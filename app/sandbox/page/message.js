/* How messages look: entities, media, buttons, polls. Texts only ever become text nodes. */
"use strict";

/** Create an element; `parts` are attributes (`on...` are listeners), children follow. */
function make(tag, parts = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(parts)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const ENTITY_TAGS = {
  bold: "strong", italic: "em", underline: "u", strikethrough: "s", code: "code", pre: "pre",
  blockquote: "blockquote", expandable_blockquote: "blockquote",
};

const BLOCKS = new Set(["pre", "blockquote"]);
const LITERAL = new Set(["pre", "code", "text_link", "bot_command"]);

/** Return the nodes of a text; entities nest and come in Telegram's order. `plain` makes nodes of the rest. */
function formatted(text, entities, from = 0, to = text.length, plain = linked) {
  const nodes = [];
  let at = from;
  let index = 0;
  while (index < entities.length) {
    const entity = entities[index];
    const end = Math.min(entity.offset + entity.length, to);
    const inside = [];
    index += 1;
    while (index < entities.length && entities[index].offset < end) inside.push(entities[index++]);
    if (entity.offset > at) nodes.push(...plain(text.slice(at, entity.offset)));
    const inner = LITERAL.has(entity.type) ? (rest) => [rest] : plain;
    nodes.push(entityElement(entity, text.slice(entity.offset, end), formatted(text, inside, entity.offset, end, inner)));
    at = BLOCKS.has(ENTITY_TAGS[entity.type]) && text[end] === "\n" ? end + 1 : end;
  }
  if (at < to) nodes.push(...plain(text.slice(at, to)));
  return nodes;
}

/** Return a text whose addresses and commands can be clicked. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)]|(?<![\w/])\/[a-z0-9_]{1,32}(?![\w/]))/i).map((piece, index) => {
    if (index % 2 === 0) return piece;
    return piece.startsWith("/") ? command(piece) : link(piece, piece);
  });
}

function command(text) {
  return make("button", { type: "button", class: "command", onclick: () => sendText(text) }, text);
}

function link(address, ...children) {
  return make("a", { href: address, target: "_blank", rel: "noreferrer noopener" }, ...children);
}

function entityElement(entity, text, children) {
  switch (entity.type) {
    case "text_link":
      return link(entity.url, ...children);
    case "spoiler":
      return spoiler(children);
    case "bot_command":
      return command(text);
    default:
      return make(ENTITY_TAGS[entity.type] || "span", { "data-language": entity.language }, ...children);
  }
}

function spoiler(children) {
  const element = make("span", { class: "spoiler", role: "button", tabindex: "0" }, ...children);
  const reveal = () => element.classList.add("open");
  element.addEventListener("click", reveal);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") reveal();
  });
  return element;
}

/** Return the bubble of one message or of an album. */
function bubble(entries) {
  const first = entries[0];
  const last = entries[entries.length - 1];
  const body = first.message;
  const side = first.by_bot ? "theirs" : "mine";
  const element = make("article", { class: `bubble ${side}`, "data-id": body.message_id });
  const files = entries.filter((entry) => entry.media);
  if (files.length) element.append(make("div", { class: `media count-${files.length}` }, ...files.map(mediaElement)));
  for (const entry of entries) {
    const text = entry.message.text ?? entry.message.caption;
    const entities = entry.message.entities ?? entry.message.caption_entities ?? [];
    if (text) element.append(make("div", { class: "text" }, ...formatted(text, entities)));
  }
  if (body.poll) element.append(pollElement(body.message_id, body.poll, first.vote));
  element.append(make("footer", {}, (last.edited ? `${words.edited} ` : "") + clock(last.message.date)));
  const rows = last.message.reply_markup?.inline_keyboard ?? [];
  const group = make("div", { class: `message ${side}` }, element);
  if (rows.length) group.append(make("div", { class: "keyboard" }, ...rows.map((row) => buttonRow(last.message, row))));
  return group;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function buttonRow(message, row) {
  return make("div", { class: "row" }, ...row.map((button) => {
    if (button.url) {
      return make("a", { class: "key", href: button.url, target: "_blank", rel: "noreferrer noopener" }, `${button.text} ↗`);
    }
    if (button.web_app) {
      const open = () => openApp(message.message_id, button.web_app.url, button.text);
      return make("button", { type: "button", class: "key", "aria-haspopup": "dialog", onclick: open }, `${button.text} ⧉`);
    }
    const press = (event) => pressButton(message.message_id, button.callback_data, event.currentTarget);
    return make("button", { type: "button", class: "key", onclick: press }, button.text);
  }));
}

/** Return a picture, player or link; what cannot be loaded becomes a link with a note. */
function mediaElement(entry) {
  const { kind, url, file_id: fileId, name } = entry.media;
  const source = url || `/sandbox/bots/${encodeURIComponent(state.bot)}/files/${encodeURIComponent(fileId)}`;
  const label = name || kind;
  const missing = () => make("a", { class: "missing", href: source, target: "_blank", rel: "noreferrer noopener" },
    `${label} — ${words.cannotLoad}`);
  let element;
  switch (kind) {
    case "photo":
      element = make("img", { src: source, alt: label, loading: "lazy", referrerpolicy: "no-referrer" });
      break;
    case "video":
    case "animation":
      element = make("video", { src: source, controls: true, preload: "metadata", "aria-label": label });
      break;
    case "audio":
    case "voice":
      element = make("audio", { src: source, controls: true, preload: "metadata", "aria-label": label });
      break;
    default:
      return make("a", { class: "file", href: source, target: "_blank", rel: "noreferrer noopener" }, label);
  }
  element.addEventListener("error", () => element.replaceWith(missing()));
  element.addEventListener("load", keepAtEnd);
  return element;
}

/** Return a poll: choices before the vote, results after it. */
function pollElement(messageId, poll, vote) {
  const many = poll.allows_multiple_answers;
  const title = poll.is_closed ? words.closed : poll.type === "quiz" ? words.quiz : many ? words.manyPoll : words.poll;
  const element = make("div", { class: "poll", role: "group", "aria-label": poll.question },
    make("h3", {}, poll.question), make("p", { class: "note" }, title));
  if (vote || poll.is_closed) element.append(...results(messageId, poll, vote ?? []));
  else if (many) element.append(checkboxes(messageId, poll));
  else {
    poll.options.forEach((option, index) => element.append(
      make("button", { type: "button", class: "choice", onclick: () => castVote(messageId, [index]) }, option.text)));
  }
  return element;
}

function checkboxes(messageId, poll) {
  const send = make("button", { type: "submit", class: "primary", disabled: true }, words.vote);
  const boxes = poll.options.map((option, index) => make("label", { class: "choice" },
    make("input", { type: "checkbox", value: index }), make("span", {}, option.text)));
  const form = make("form", {}, ...boxes, send);
  const chosen = () => [...form.querySelectorAll("input:checked")].map((box) => Number(box.value));
  form.addEventListener("change", () => { send.disabled = !chosen().length; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    castVote(messageId, chosen());
  });
  return form;
}

function results(messageId, poll, vote) {
  const total = Math.max(poll.total_voter_count, 1);
  const quiz = poll.type === "quiz";
  const right = new Set(poll.correct_option_ids ?? []);
  const nodes = poll.options.map((option, index) => {
    const chosen = vote.includes(index);
    const share = Math.round((option.voter_count / total) * 100);
    let mark = chosen ? ["✓", words.yours, "chosen"] : ["", "", ""];
    if (quiz && right.has(index)) mark = ["✓", words.right, "right"];
    else if (quiz && chosen) mark = ["✗", words.wrong, "wrong"];
    return make("div", { class: `result ${mark[2]}` },
      make("span", { class: "share" }, `${share}%`), make("span", {}, option.text),
      make("span", { class: "mark", role: "img", "aria-label": mark[1] || null, "aria-hidden": !mark[0] && "true" }, mark[0]),
      make("progress", { max: "100", value: share, "aria-hidden": "true" }));
  });
  if (quiz && poll.explanation) nodes.push(make("p", { class: "note" }, poll.explanation));
  if (vote.length && poll.allows_revoting && !poll.is_closed) {
    nodes.push(make("button", { type: "button", class: "quiet", onclick: () => castVote(messageId, []) }, words.retract));
  } else if (vote.length) nodes.push(make("p", { class: "note" }, words.votes));
  return nodes;
}
