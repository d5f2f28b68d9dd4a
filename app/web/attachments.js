/**
 * The files of the message that is being written: chosen, dropped or pasted, uploaded at once, and
 * shown above the text. What was uploaded and not sent is deleted by the server after a day.
 */
import { ask, upload } from './client.js';
import { h, icon, iconButton, image } from './dom.js';

const UPLOADS_AT_A_TIME = 3;

/** `hooks.changed()` says look again, `hooks.say(text)` tells those who cannot see the tray. */
export function createAttachments({ tray, picker, button, target, overlay, input }, hooks) {
  let entries = []; // { name, size, state, share, attachment, message, preview, node }

  const draw = () => {
    tray.replaceChildren(...entries.map((entry) => entry.node));
    tray.hidden = entries.length === 0;
    hooks.changed();
  };

  function add(files) {
    for (const file of files) {
      const entry = newEntry(file);
      const local = file.type.startsWith('image/') && file.type !== 'image/svg+xml';
      entry.preview = local ? URL.createObjectURL(file) : null;
      entries.push(entry);
      show(entry);
    }
    draw();
    uploadNext();
  }

  function uploadNext() {
    const waiting = entries.filter((entry) => entry.state === 'waiting');
    const running = entries.filter((entry) => entry.state === 'uploading').length;
    for (const entry of waiting.slice(0, Math.max(0, UPLOADS_AT_A_TIME - running))) start(entry);
  }

  async function start(entry) {
    entry.state = 'uploading';
    show(entry);
    try {
      entry.attachment = await upload(entry.file, entry.controller.signal, (share) => {
        entry.share = share;
        showProgress(entry);
      });
      entry.state = 'done';
      hooks.say(`${entry.name} is attached.`);
      // It was removed while its last bytes were on their way.
      if (!entries.includes(entry)) forget(entry);
    } catch (error) {
      if (entry.controller.signal.aborted) return;
      console.warn(error);
      entry.state = 'failed';
      entry.message = String(error?.message ?? 'It could not be uploaded.').replace(/^file: /, '');
      hooks.say(`${entry.name} could not be attached. ${entry.message}`);
    } finally {
      entry.file = null;
      show(entry);
      hooks.changed();
      uploadNext();
    }
  }

  function remove(entry) {
    const at = entries.indexOf(entry);
    entries = entries.filter((other) => other !== entry);
    entry.controller.abort();
    forget(entry);
    draw();
    uploadNext();
    const next = entries[Math.min(at, entries.length - 1)];
    (next?.node.querySelector('button') ?? input).focus();
  }

  function show(entry) {
    const failed = entry.state === 'failed';
    const symbol = () => h('span', { class: 'file-picture' }, icon(failed ? 'alert' : 'document'));
    const source = entry.preview ?? entry.attachment?.preview_url;
    const kind = source && !failed
      ? image(source, { class: 'file-picture', onerror: (event) => event.target.replaceWith(symbol()) })
      : symbol();
    entry.bar = entry.state === 'uploading' && h('span', { class: 'file-bar' }, h('i'));
    entry.note = h('span', { class: 'file-note' }, note(entry));
    const node = h('li', { class: `file ${entry.state}`, testid: 'attachment', title: entry.message ?? entry.name, 'aria-busy': String(entry.state === 'uploading') },
      kind,
      h('span', { class: 'file-text' }, h('span', { class: 'file-name' }, entry.name), entry.note),
      iconButton('close', `Remove ${entry.name}`, { class: 'icon-button file-remove', onclick: () => remove(entry) }),
      entry.bar);
    if (entry.node.isConnected) entry.node.replaceWith(node);
    entry.node = node;
    showProgress(entry);
  }

  /* Drag and drop over the whole conversation; entering a child also leaves its parent. */

  let depth = 0;
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  const drag = (change) => (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    overlay.hidden = depth === 0;
  };
  target.addEventListener('dragenter', drag(1));
  target.addEventListener('dragleave', drag(-1));
  target.addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault());
  target.addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    overlay.hidden = true;
    add(event.dataTransfer.files);
    input.focus();
  });

  input.addEventListener('paste', (event) => {
    const files = event.clipboardData?.files ?? [];
    // Spreadsheets paste a picture of the cells beside their text: the text is meant.
    if (!files.length || event.clipboardData.getData('text/plain')) return;
    event.preventDefault();
    add(files);
  });

  button.addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => {
    add(picker.files);
    picker.value = ''; // so that the same file can be chosen again
    input.focus();
  });

  return {
    /** Is there something to send, and is all of it there? */
    get ready() { return entries.length > 0 && entries.every((entry) => entry.state === 'done'); },
    get empty() { return entries.length === 0; },

    /** Hands out what is attached, and forgets it. */
    take() {
      const taken = entries.filter((entry) => entry.state === 'done').map((entry) => entry.attachment);
      for (const entry of entries) release(entry);
      entries = [];
      draw();
      return taken;
    },

    /** Takes back what could not be sent. */
    giveBack(attachments) {
      const known = new Set(entries.map((entry) => entry.attachment?.id));
      for (const attachment of attachments) {
        if (known.has(attachment.id)) continue;
        const entry = { ...newEntry({ name: attachment.name, size: null }), state: 'done', attachment };
        entries.push(entry);
        show(entry);
      }
      draw();
    },
  };
}

const newEntry = (file) => ({
  file, name: file.name || 'Pasted image', size: file.size, state: 'waiting', share: 0,
  attachment: null, message: null, preview: null, node: h('li'), controller: new AbortController(),
});

function release(entry) {
  if (entry.preview) URL.revokeObjectURL(entry.preview);
  entry.preview = null;
}

/** Deletes what the server has of it. If that fails, the server deletes it by itself tomorrow. */
function forget(entry) {
  release(entry);
  if (entry.attachment) ask('attachments.delete', { attachment_id: entry.attachment.id }).catch(() => {});
}

function showProgress(entry) {
  if (!entry.bar) return;
  entry.bar.firstChild.style.width = `${Math.round(entry.share * 100)}%`;
  entry.note.textContent = note(entry);
}

function note({ state, share, size, message, attachment }) {
  if (state === 'failed') return message;
  if (state === 'waiting') return 'Waiting…';
  if (state === 'uploading') return share < 1 ? `Uploading ${Math.round(share * 100)} %` : 'Checking…';
  return size === null ? kindOf(attachment) : `${kindOf(attachment)} · ${sizeOf(size)}`;
}

/** The type of a file in a word: PNG, CSV, or the ending of its name. */
export function kindOf(attachment) {
  const ending = /\.([a-z0-9]{1,5})$/i.exec(String(attachment?.name ?? ''))?.[1];
  return (ending ?? String(attachment?.mime_type ?? 'file').split('/').at(-1)).toUpperCase();
}

function sizeOf(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, 'KB'] : [bytes / 1024 ** 2, 'MB'];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
