/** The list of threads: paging, rename in place, delete after a question. */
import { ask } from './client.js';
import { h, iconButton } from './dom.js';

const PAGE = 30;
const titleOf = (thread) => thread.title || 'New chat';

export function createSidebar({ list, more, problem, dialog }, { deleted, renamed }) {
  let threads = [];
  let cursor = null;
  let current = null;
  let editing = null;

  const nodes = new Map(); // thread id -> <li>, so that focus survives a redraw

  function draw() {
    for (const [id, node] of nodes) if (!threads.some((thread) => thread.id === id)) nodes.delete(id) && node.remove();
    threads.forEach((thread, at) => {
      const node = nodes.get(thread.id) ?? entry(thread.id);
      nodes.set(thread.id, node);
      if (editing !== thread.id) node.querySelector('.thread-title').textContent = titleOf(thread);
      const anchor = node.querySelector('a');
      if (thread.id === current) anchor.setAttribute('aria-current', 'page');
      else anchor.removeAttribute('aria-current');
      if (list.childNodes[at] !== node) list.insertBefore(node, list.childNodes[at] ?? null);
    });
    more.hidden = !cursor;
  }

  function entry(id) {
    const node = h('li', { class: 'thread', testid: 'thread-item' },
      h('a', { href: `#${encodeURIComponent(id)}` }, h('span', { class: 'thread-title' })),
      h('div', { class: 'thread-tools' },
        iconButton('write', 'Rename', { testid: 'rename-thread', onclick: () => rename(id, node) }),
        iconButton('trash', 'Delete', { testid: 'delete-thread', onclick: () => remove(id) })));
    return node;
  }

  const find = (id) => threads.find((thread) => thread.id === id);

  async function attempt(type, params) {
    problem.replaceChildren();
    try {
      return await ask(type, params);
    } catch (error) {
      problem.replaceChildren(error.message, ' ', h('button', { type: 'button', class: 'link-button', onclick: () => load() }, 'Retry'));
      return null;
    }
  }

  async function load(after) {
    const page = await attempt('threads.list', { limit: PAGE, order: 'desc', ...(after ? { after } : {}) });
    if (!page) return;
    const known = new Set(after ? threads.map((thread) => thread.id) : []);
    const fresh = (page.data ?? []).filter((thread) => typeof thread?.id === 'string' && !known.has(thread.id));
    threads = after ? [...threads, ...fresh] : fresh;
    cursor = page.has_more ? page.after ?? null : null;
    draw();
  }

  function rename(id, node) {
    const title = node.querySelector('.thread-title');
    const input = h('input', { class: 'field', 'aria-label': 'New title', maxlength: '200' });
    input.value = titleOf(find(id));
    editing = id;
    node.classList.add('editing');
    node.prepend(input);
    input.select();
    input.focus();
    const finish = async (save) => {
      if (editing !== id) return; // Enter also blurs
      editing = null;
      const text = input.value.trim();
      input.remove();
      node.classList.remove('editing');
      if (save && text && text !== titleOf(find(id))) {
        title.textContent = text;
        const thread = await attempt('threads.update', { thread_id: id, title: text });
        if (thread) renamed(thread);
        upsert(thread ?? find(id));
      }
    };
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.isComposing) finish(true);
      if (event.key === 'Escape') finish(false);
    });
    input.addEventListener('blur', () => finish(true));
  }

  function remove(id) {
    dialog.querySelector('strong').textContent = titleOf(find(id));
    dialog.returnValue = '';
    dialog.showModal();
    dialog.onclose = async () => {
      if (dialog.returnValue !== 'delete') return;
      if (!(await attempt('threads.delete', { thread_id: id }))) return;
      threads = threads.filter((thread) => thread.id !== id);
      draw();
      deleted(id);
    };
  }

  function upsert(thread) {
    if (!thread) return;
    threads = find(thread.id) ? threads.map((old) => (old.id === thread.id ? { ...old, ...thread } : old)) : [thread, ...threads];
    draw();
  }

  more.addEventListener('click', () => load(cursor));
  return {
    load: () => load(),
    upsert,
    select(id) {
      current = id;
      draw();
    },
  };
}
