/* The page: bots at the side, one chat, live. */
"use strict";

const $ = (id) => document.getElementById(id);
const KEPT = "flotilla.sandbox";

const state = {
  bots: [], bot: null, learners: [], learner: null, payload: "",
  chat: null, shown: new Map(), seen: null, following: null, waiting: new Map(),
};

/* Talking to the sandbox */

async function ask(path, body, signal) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`/sandbox/${path}`, { ...options, headers: { "Content-Type": "application/json" }, signal });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

const chatPath = () => `bots/${encodeURIComponent(state.bot)}/chats/${state.learner.id}`;

async function act(action, body = {}) {
  try {
    return (await ask(`${chatPath()}/${action}`, { ...body, learner: profileOf(state.learner) })).result;
  } catch (error) {
    toast(error.message);
    return null;
  }
}

function profileOf(learner) {
  const { first_name, username, language_code } = learner;
  return username ? { first_name, username, language_code } : { first_name, language_code };
}

const sendText = (text) => act("text", { text });
const castVote = (messageId, optionIds) => act("vote", { message_id: messageId, option_ids: optionIds });

async function pressButton(messageId, data, button) {
  button.classList.add("waiting");
  const id = await act("press", { message_id: messageId, data });
  if (id) state.waiting.set(id, button);
  else button.classList.remove("waiting");
}

async function sendFile(file) {
  const family = file.type.split("/")[0];
  const kind = { image: "photo", video: "video", audio: /ogg|webm/.test(file.type) ? "voice" : "audio" }[family] || "document";
  await act("file", { kind, content: await encoded(file), mime_type: file.type || "application/octet-stream" });
}

async function encoded(blob) {
  const address = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
  return address.slice(address.indexOf(",") + 1);
}

/* Voice messages: the first press records, the second sends */

async function recordVoice() {
  if (recordVoice.recorder) {
    recordVoice.recorder.stop();
    return;
  }
  const stream = await navigator.mediaDevices?.getUserMedia({ audio: true }).catch(() => null);
  if (!stream) {
    toast(words.noMicrophone);
    await sendVoice(await (await fetch("voice.ogg")).blob(), 1);
    return;
  }
  const [pieces, begun] = [[], Date.now()];
  const recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    stream.getTracks().forEach((track) => track.stop());
    showRecording(null);
    sendVoice(new Blob(pieces, { type: recorder.mimeType }), Math.ceil((Date.now() - begun) / 1000));
  };
  recorder.start();
  showRecording(recorder);
}

function showRecording(recorder) {
  recordVoice.recorder = recorder;
  $("voice").setAttribute("aria-pressed", String(Boolean(recorder)));
  $("voice").setAttribute("aria-label", recorder ? words.finish : words.record);
  $("voice").title = $("voice").getAttribute("aria-label");
}

async function sendVoice(blob, seconds) {
  await act("file", { kind: "voice", content: await encoded(blob), mime_type: blob.type || "audio/ogg", seconds });
}

/* Mini apps, in a frame that gets what Telegram tells them, and may ask to be closed */

async function openApp(messageId, url, title) {
  const launch = await act("app", { message_id: messageId, url });
  if (!launch) return;
  const address = `${launch.url}&tgWebAppThemeParams=${encodeURIComponent(JSON.stringify(themeParams()))}`;
  const frame = make("iframe", { src: address, title, allow: "microphone; camera; autoplay" });
  $("app-place").replaceChildren(frame);
  $("app-title").textContent = title;
  $("app-tab").href = address;
  $("app").showModal();
}

function themeParams() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    bg_color: color("theirs"), secondary_bg_color: color("back"), text_color: color("text"), hint_color: color("faint"),
    link_color: color("accent"), button_color: color("accent"), button_text_color: color("on-accent"),
  };
}

function hearApp(event) {
  const frame = $("app-place").querySelector("iframe");
  if (!frame || event.source !== frame.contentWindow || typeof event.data !== "string") return;
  let said = null;
  try {
    said = JSON.parse(event.data);
  } catch {
    return;
  }
  if (said?.eventType === "web_app_close") $("app").close();
}

/* Following changes: one request at a time that waits for the next version */

async function follow(show, path, signal) {
  let version = -1;
  while (!signal.aborted) {
    try {
      const news = await ask(`${path}?after=${version}&timeout=25`, undefined, signal);
      $("toasts").querySelector(".lost")?.remove();
      if (news.version < version) version = -1;
      if (news.version > version) show(news);
      version = news.version;
    } catch (error) {
      if (signal.aborted) return;
      version = -1;
      if (!$("toasts").querySelector(".lost")) $("toasts").append(make("p", { class: "lost" }, words.lost));
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

/* The side */

function showBots({ bots }) {
  const listing = JSON.stringify([bots.map((bot) => [bot.username, bot.title, bot.revoked]), state.bot, words.bot]);
  state.bots = bots;
  if (showBots.last === listing) return;
  showBots.last = listing;
  $("no-bots").hidden = bots.length > 0;
  $("bots").replaceChildren(...bots.map(botEntry));
}

function botEntry(bot) {
  return make("button", {
    type: "button", class: "bot", "aria-current": bot.username === state.bot ? "true" : null,
    onclick: () => openBot(bot.username),
  }, avatar(bot), make("span", { class: "who" }, make("strong", {}, bot.title),
    make("small", {}, bot.revoked ? words.revoked : `@${bot.username}`)));
}

function avatar(bot) {
  const element = make("span", { class: `avatar hue-${bot.id % 7}`, "aria-hidden": "true" });
  element.textContent = [...bot.title][0]?.toUpperCase() ?? "?";
  return element;
}

function openBot(username, payload = "") {
  state.bot = username;
  state.payload = payload;
  location.hash = `#${username}`;
  document.body.classList.add("in-chat");
  restartChat();
  showBots({ bots: state.bots });
}

function restartChat() {
  state.following?.abort();
  state.shown.clear();
  $("messages").replaceChildren();
  state.chat = null;
  state.seen = null;
  $("chat").hidden = !state.bot;
  $("nothing").hidden = Boolean(state.bot);
  if (!state.bot) return;
  state.following = new AbortController();
  const { signal } = state.following;
  act("open").then(() => signal.aborted || follow(showChat, chatPath(), signal));
}

/* The chat */

function showChat(chat) {
  const before = state.chat;
  state.chat = chat;
  const atEnd = isAtEnd();
  $("chat-title").textContent = chat.bot.title;
  $("chat-avatar").replaceWith(Object.assign(avatar(chat.bot), { id: "chat-avatar" }));
  showStatus(chat);
  showMessages(chat.messages);
  showNotices(chat.notices);
  showMenu(chat.commands);
  const started = chat.messages.some((entry) => !entry.by_bot) && !state.payload;
  $("start").hidden = started && !chat.blocked;
  $("composer").hidden = !$("start").hidden;
  $("start").textContent = chat.blocked ? words.unblock : words.start;
  $("block").hidden = !started || chat.blocked;
  if (!before || atEnd || chat.messages.length !== before.messages.length) scrollToEnd();
  if (!before) ($("start").hidden ? $("text") : $("start")).focus({ preventScroll: true });
}

/** Show who this is, or what the bot does: for five seconds, as Telegram does. */
function showStatus(chat) {
  clearTimeout(showStatus.end);
  if (chat.action) showStatus.end = setTimeout(() => showStatus({ ...chat, action: null }), 5000);
  const action = chat.action === "typing" ? words.typing : chat.action ? words.busy : "";
  $("chat-status").textContent = action || `@${chat.bot.username}, ${words.bot}`;
  $("chat-status").classList.toggle("active", Boolean(action));
}

/** Renew only the bubbles that changed: ticks in a poll that is being answered must stay. */
function showMessages(entries) {
  const groups = [];
  for (const entry of entries) {
    const album = entry.message.media_group_id;
    const last = groups[groups.length - 1];
    if (album && last && last[0].message.media_group_id === album) last.push(entry);
    else groups.push([entry]);
  }
  const keep = new Set();
  let place = $("messages").firstChild;
  for (const group of groups) {
    const id = group[0].message.message_id;
    const source = JSON.stringify(group) + words.bot;
    let known = state.shown.get(id);
    keep.add(id);
    if (!known || known.source !== source) {
      const element = bubble(group);
      if (known) {
        if (place === known.element) place = element;
        known.element.replaceWith(element);
      }
      known = { source, element };
      state.shown.set(id, known);
    }
    if (known.element === place) place = place.nextSibling;
    else $("messages").insertBefore(known.element, place);
  }
  for (const [id, known] of state.shown) {
    if (!keep.has(id)) {
      known.element.remove();
      state.shown.delete(id);
    }
  }
}

/** Show the notices that came since the chat was opened. */
function showNotices(notices) {
  const answered = notices.filter((notice) => notice.text !== null);
  const fresh = state.seen ? answered.filter((notice) => !state.seen.has(notice.id)) : [];
  state.seen = new Set(answered.map((notice) => notice.id));
  for (const notice of fresh) {
    state.waiting.get(notice.id)?.classList.remove("waiting");
    state.waiting.delete(notice.id);
    if (!notice.text) continue;
    if (notice.show_alert) {
      $("alert-text").textContent = notice.text;
      if (!$("alert").open) $("alert").showModal();
    } else toast(notice.text);
  }
}

function showMenu(commands) {
  $("menu-button").hidden = !commands.length;
  if (!commands.length) toggleMenu(false);
  $("menu").replaceChildren(...commands.map(({ command, description }) => make("button", {
    type: "button",
    onclick: () => {
      toggleMenu(false);
      sendText(`/${command}`);
    },
  }, make("strong", {}, `/${command}`), make("span", {}, description))));
}

function toggleMenu(open = $("menu").hidden) {
  $("menu").hidden = !open;
  $("menu-button").setAttribute("aria-expanded", String(open));
}

const isAtEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 80;
const scrollToEnd = () => { $("log").scrollTop = $("log").scrollHeight; };

function keepAtEnd() {
  if ($("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 700) scrollToEnd();
}

function toast(text) {
  const element = make("p", {}, text);
  $("toasts").append(element);
  setTimeout(() => element.remove(), 4000);
}

/* Learners, kept in this browser */

function loadLearners() {
  const kept = JSON.parse(localStorage.getItem(KEPT) || "null");
  state.learners = kept?.learners ?? [];
  if (!state.learners.length) {
    const language = navigator.language.startsWith("ru") ? "ru" : "en";
    speak(language);
    state.learners.push(newLearner(words.newLearner, language));
  }
  state.learner = state.learners.find((learner) => learner.id === kept?.current) ?? state.learners[0];
  keepLearners();
}

function newLearner(name, language) {
  return { id: 100000 + Math.floor(Math.random() * 899999), first_name: name, username: "", language_code: language };
}

function keepLearners() {
  localStorage.setItem(KEPT, JSON.stringify({ learners: state.learners, current: state.learner.id }));
  $("learner").replaceChildren(...state.learners.map((learner) => make("option", {
    value: learner.id, selected: learner === state.learner,
  }, learner.username ? `${learner.first_name} (@${learner.username})` : learner.first_name)));
  showWords();
}

function editLearner(learner) {
  const form = $("profile").querySelector("form");
  for (const name of ["first_name", "username", "language_code"]) form.elements[name].value = learner[name];
  $("profile").returnValue = "";
  $("profile").showModal();
  $("profile").onclose = () => {
    if ($("profile").returnValue !== "save") return;
    for (const name of ["first_name", "username", "language_code"]) learner[name] = form.elements[name].value.trim();
    if (!state.learners.includes(learner)) state.learners.push(learner);
    beLearner(learner);
  };
}

function beLearner(learner) {
  state.learner = learner;
  keepLearners();
  restartChat();
  showBots({ bots: state.bots });
}

function showWords() {
  speak(state.learner.language_code);
  const texts = {
    about: words.about, "no-bots": words.noBots, choose: words.choose, "learner-label": words.learner,
    "profile-title": words.profile, "name-label": words.name, "username-label": words.username,
    "language-label": words.language, save: words.save, cancel: words.cancel, block: words.block,
    "app-tab": words.newTab,
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  const labels = {
    "edit-learner": words.edit, "new-learner": words.add, back: words.back, attach: words.attach,
    voice: words.record, "app-close": words.close, send: words.send, "menu-button": words.menu, text: words.write,
  };
  for (const [id, text] of Object.entries(labels)) {
    $(id).setAttribute("aria-label", text);
    $(id).title = text;
  }
  $("text").placeholder = words.write;
}

/* What the person does */

function submitText() {
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  fitText();
  sendText(text);
}

function fitText() {
  $("text").style.height = "auto";
  $("text").style.height = `${Math.min($("text").scrollHeight, 160)}px`;
}

function start() {
  if (state.chat.blocked) {
    act("unblock");
    return;
  }
  const text = state.payload ? `/start ${state.payload}` : "/start";
  state.payload = "";
  sendText(text);
}

/** Let t.me links to bots of this sandbox open here. */
function followBotLink(event) {
  const link = event.target.closest?.("a[href]");
  const match = link && /^https?:\/\/t\.me\/(\w+)(?:\?start=([\w-]*))?$/.exec(link.href);
  if (!match || !state.bots.some((bot) => bot.username === match[1])) return;
  event.preventDefault();
  openBot(match[1], match[2] || "");
}

function listen() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submitText();
  });
  $("text").addEventListener("input", fitText);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submitText();
    }
  });
  $("attach").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => {
    for (const file of $("file").files) await sendFile(file);
    $("file").value = "";
  });
  $("voice").addEventListener("click", recordVoice);
  $("app-close").addEventListener("click", () => $("app").close());
  $("app").addEventListener("close", () => $("app-place").replaceChildren());
  window.addEventListener("message", hearApp);
  $("start").addEventListener("click", start);
  $("block").addEventListener("click", () => act("block"));
  $("menu-button").addEventListener("click", () => toggleMenu());
  $("back").addEventListener("click", () => document.body.classList.remove("in-chat"));
  $("learner").addEventListener("change", (event) => {
    beLearner(state.learners.find((learner) => learner.id === Number(event.target.value)));
  });
  $("edit-learner").addEventListener("click", () => editLearner(state.learner));
  $("new-learner").addEventListener("click", () => editLearner(newLearner("", state.learner.language_code)));
  $("cancel").addEventListener("click", () => $("profile").close());
  $("messages").addEventListener("click", followBotLink);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleMenu(false);
  });
}

loadLearners();
listen();
follow(showBots, "bots", new AbortController().signal);
const [wanted, payload] = location.hash.slice(1).split("?start=");
if (wanted) openBot(decodeURIComponent(wanted), payload);
