/**
 * Draws a conversation. However many events arrive, the page is touched once per frame, and only
 * at the items whose state is another object than the one that was drawn.
 */
import { h, icon, iconButton } from './dom.js';
import { markdown } from './markdown.js';
import { createItemView } from './render.js';
import { messageText } from './state.js';

const NEAR_END = 80;

export function createView(conversation, elements) {
  const { scroller, items, tail, welcome, older, newest, announcer } = elements;
  const drawn = new Map(); // item id -> { item, node, update }
  let scheduled = false;
  let followsEnd = true;
  let drawnTail = [];

  const ctx = {
    isPending: (id) => conversation.busy && conversation.state.pending.includes(id),
    feedbackOf: (id) => conversation.feedback.get(id),
    feedback: async (id, kind) => {
      const done = conversation.sendFeedback(id, kind);
      redraw(id);
      await done;
      redraw(id); // a refused vote goes out again
    },
    expired: () => conversation.refresh(),
    runTool: (item) => conversation.runTool(item),
    answer: (item, input) => conversation.answer(item, input),
    async act(action, itemId, { element, values, holder }) {
      const quiet = action.loadingBehavior === 'none';
      const target = action.loadingBehavior === 'container' ? holder : element;
      if (!quiet) target.classList.add('loading');
      await conversation.act(action, itemId, values);
      target.classList.remove('loading');
    },
  };

  function redraw(id) {
    const entry = drawn.get(id);
    entry?.update(entry.item);
  }

  function drawItems() {
    const { state } = conversation;
    const wanted = state.draft ? [...state.items, state.draft] : state.items;
    const ids = new Set(wanted.map((item) => item.id));
    for (const [id, entry] of drawn) {
      if (ids.has(id)) continue;
      entry.node.remove();
      drawn.delete(id);
    }
    let place = items.firstChild;
    for (const item of wanted) {
      let entry = drawn.get(item.id);
      if (!entry) {
        entry = { ...createItemView(item, ctx), item };
        drawn.set(item.id, entry);
      } else if (entry.item !== item) {
        entry.item = item;
        entry.update(item);
      }
      if (entry.node === place) place = place.nextSibling;
      else items.insertBefore(entry.node, place);
    }
  }

  /** What stands below the items: progress, notices, the error banner. */
  function drawTail() {
    const { state, busy, banner, loading } = conversation;
    const now = [busy, loading, state.progress, state.notices, banner?.message, writes(state)];
    if (now.every((value, at) => value === drawnTail[at])) return;
    drawnTail = now;
    const progress = busy && h('div', { class: 'busy', testid: 'busy' },
      state.progress?.icon ? icon(state.progress.icon) : h('span', { class: `dots ${writes(state) ? 'quiet' : ''}` }, h('i'), h('i'), h('i')),
      h('span', { class: 'shimmer' }, state.progress?.text ?? ''),
      h('span', { class: 'sr-only' }, 'The assistant is answering.'));
    const notices = state.notices.map((notice) => h('div', { class: `banner ${notice.level}`, role: 'status' },
      icon('info'),
      h('div', { class: 'banner-text' }, notice.title && h('strong', null, String(notice.title)), markdown(notice.message)),
      iconButton('close', 'Dismiss', { onclick: () => conversation.dismiss(notice) })));
    const error = banner && h('div', { class: 'banner danger', role: 'alert', testid: 'error-banner' },
      icon('alert'),
      h('div', { class: 'banner-text' }, h('p', null, banner.message), banner.detail && h('p', { class: 'muted' }, `Reference: ${banner.detail}`)),
      banner.retry && h('button', { type: 'button', class: 'button secondary', testid: 'retry', onclick: banner.retry }, icon('reload'), 'Retry'));
    const wait = loading && h('div', { class: 'loading-thread' }, h('span', { class: 'spinner', role: 'status', 'aria-label': 'Loading' }));
    tail.replaceChildren(...[progress, ...notices, error, wait].filter(Boolean));
  }

  function draw() {
    scheduled = false;
    const { state, busy, loading, banner } = conversation;
    drawItems();
    drawTail();
    items.classList.toggle('is-busy', busy);
    welcome.hidden = Boolean(conversation.threadId || state.items.length || state.draft || loading || banner);
    older.hidden = !state.older;
    if (followsEnd) scroller.scrollTop = scroller.scrollHeight;
    announce();
  }

  // A live region around the growing text would be read from its start again and again. Instead
  // whole sentences go to a hidden one as they become complete.
  let spoken = { id: null, length: 0 };
  function announce() {
    const { state, busy } = conversation;
    const item = state.items.at(-1);
    if (item?.type !== 'assistant_message') return;
    if (spoken.id !== item.id) spoken = { id: item.id, length: busy ? 0 : messageText(item).length };
    const rest = messageText(item).slice(spoken.length);
    const sentences = busy ? (/^[\s\S]*[.!?\n](?=\s)/.exec(rest)?.[0] ?? '') : rest;
    if (!sentences.trim()) return;
    spoken.length += sentences.length;
    say(sentences);
  }

  function say(text) {
    while (announcer.childNodes.length > 20) announcer.firstChild.remove();
    announcer.append(h('p', null, text));
  }

  let lastTop = 0;
  const measure = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    // Only who moves up leaves the end: an image may have grown since the page was last moved.
    if (atEnd || scrollTop < lastTop) followsEnd = atEnd;
    lastTop = scrollTop;
    newest.hidden = followsEnd;
  };
  scroller.addEventListener('scroll', measure, { passive: true });
  // Images and fonts change heights after the drawing; the end stays the end.
  new ResizeObserver(() => followsEnd && (scroller.scrollTop = scroller.scrollHeight)).observe(items);

  older.addEventListener('click', async () => {
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    older.disabled = true;
    await conversation.loadOlder();
    older.disabled = false;
    draw();
    scroller.scrollTop = scroller.scrollHeight - fromEnd; // the line being read stays where it is
  });

  const view = {
    update() {
      if (scheduled) return;
      scheduled = true;
      requestAnimationFrame(draw);
    },
    say,
    toEnd() {
      followsEnd = true;
      newest.hidden = true;
      view.update();
    },
  };
  newest.addEventListener('click', view.toEnd);
  return view;
}

/** Is text on its way into the page? Then the dots need not say so. */
const writes = ({ items, pending }) => items.at(-1)?.type === 'assistant_message' && pending.includes(items.at(-1).id);
