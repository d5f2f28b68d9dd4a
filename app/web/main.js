/** Wires the page: address bar, composer, sidebar and the conversation they share. */
import { createAttachments } from './attachments.js';
import { Conversation } from './conversation.js';
import { createSidebar } from './sidebar.js';
import { nextTheme, restoreTheme, tools } from './tools.js';
import { createView } from './view.js';

const $ = (id) => document.getElementById(id);
const [input, send, stop, attach, title, drawer] = ['input', 'send', 'stop', 'attach', 'title', 'sidebar'].map($);
const small = matchMedia('(max-width: 800px)');

restoreTheme();

const conversation = new Conversation(
  {
    changed,
    thread: showThread,
    left: () => sidebar.load(), // a thread may have been created by an answer nobody waited for
    resend: () => submit(),
    giveBack: (text, files) => {
      if (!input.value) input.value = text;
      attachments.giveBack(files);
      fit();
    },
  },
  tools,
);

const sidebar = createSidebar(
  { list: $('threads'), more: $('more-threads'), problem: $('sidebar-problem'), dialog: $('delete-dialog') },
  {
    deleted: (id) => id === conversation.threadId && startNew(),
    renamed: (thread) => thread.id === conversation.threadId && conversation.rename(thread.title),
  },
);

const view = createView(conversation, {
  scroller: $('scroller'), items: $('items'), tail: $('tail'), welcome: $('welcome'),
  older: $('older'), newest: $('newest'), announcer: $('announcer'),
});

const attachments = createAttachments(
  { tray: $('tray'), picker: $('picker'), button: $('attach'), target: document.querySelector('main'), overlay: $('drop'), input },
  { changed: () => changed(), say: (text) => view.say(text) },
);

function changed() {
  const { busy, canStop, state, loading } = conversation;
  const status = state.thread?.status ?? {};
  const open = !status.type || status.type === 'active';
  stop.hidden = !busy;
  stop.disabled = !canStop;
  send.hidden = busy;
  send.disabled = busy || loading || !open || (attachments.empty ? input.value.trim() === '' : !attachments.ready);
  input.disabled = attach.disabled = !open;
  input.placeholder = open ? 'Message the assistant' : String(status.reason ?? `This conversation is ${status.type}.`);
  const name = state.thread?.title || 'New chat';
  if (title.textContent !== name) {
    title.textContent = name;
    document.title = `${name} – Chat`;
  }
  view.update();
}

/** A thread was created or changed by the server. */
function showThread(thread) {
  if (!thread) return;
  // Replaced, not set: the empty chat it grew from is no place to go back to.
  if (readHash() !== thread.id) history.replaceState(null, '', `#${encodeURIComponent(thread.id)}`);
  sidebar.upsert(thread);
  sidebar.select(thread.id);
}

/* The address bar holds the thread, so that reload, back and bookmarks work. */

function readHash() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

function openFromHash() {
  const id = readHash();
  closeDrawer();
  if (id === conversation.threadId && id) return;
  sidebar.select(id);
  conversation.open(id);
  view.toEnd();
  if (!small.matches) input.focus();
}

function startNew() {
  if (location.hash) history.pushState(null, '', location.pathname);
  openFromHash();
  input.focus();
}

window.addEventListener('hashchange', openFromHash);
$('new-chat').addEventListener('click', startNew);

/* Composer */

function fit() {
  input.style.height = 'auto';
  input.style.height = `${Math.min(input.scrollHeight, 220)}px`;
  changed();
}

function submit() {
  const text = input.value.trim();
  if (send.disabled) return;
  const files = attachments.take();
  input.value = '';
  fit();
  view.toEnd();
  conversation.send(text, files);
}

input.addEventListener('input', fit);
input.addEventListener('keydown', (event) => {
  // While an input method is composing, Enter picks a word. 229 is how Safari says so.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  submit();
});
stop.addEventListener('click', () => {
  conversation.stop();
  input.focus();
});
$('welcome').addEventListener('click', (event) => {
  const prompt = event.target.closest('[data-prompt]');
  if (!prompt) return;
  input.value = prompt.dataset.prompt;
  fit();
  submit();
});

/* The sidebar is a drawer on small screens; closed, it is out of reach for keyboards, too. */

function closeDrawer() {
  document.body.classList.remove('drawer-open');
  drawer.inert = small.matches;
}

function openDrawer() {
  document.body.classList.add('drawer-open');
  drawer.inert = false;
  $('close-drawer').focus();
}

$('open-drawer').addEventListener('click', openDrawer);
for (const id of ['close-drawer', 'backdrop']) $(id).addEventListener('click', closeDrawer);
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !document.body.classList.contains('drawer-open')) return;
  closeDrawer();
  $('open-drawer').focus();
});
small.addEventListener('change', closeDrawer);
$('theme').addEventListener('click', nextTheme);

sidebar.load();
openFromHash();
changed();
