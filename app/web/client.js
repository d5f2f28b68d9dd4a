/** The page's three ways to talk to the server: ask (JSON), stream, and come back to a stream. */
import { createChatKitFetch } from './api.js';
import { openEventStream } from './sse.js';

const chatkitFetch = createChatKitFetch({
  sessionUrl: '/api/chatkit/session',
  fetch: (target, init) => (listeners.has(init?.signal) ? sendWithProgress(target, init.signal) : fetch(target, init)),
});
const listeners = new WeakMap(); // the signal of an upload -> who wants to hear of its progress

/** The server answered, with a refusal. */
export class RefusedError extends Error {
  constructor(status, { code, message, request_id: requestId } = {}) {
    super(typeof message === 'string' && message ? message : `The server answered with status ${status}.`);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** The server did not answer, or something that is not our server did. */
export class UnreachableError extends Error {
  constructor(cause) {
    super('The server cannot be reached.', { cause });
  }
}

async function request(url, init) {
  let response;
  try {
    response = await chatkitFetch(url, init);
  } catch (error) {
    throw init.signal?.aborted ? error : new UnreachableError(error);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new RefusedError(response.status, body?.error ?? undefined);
}

const post = (type, params, signal) =>
  request('/chatkit', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type, params }),
    signal,
  });

/** A request that is answered with JSON. */
export async function ask(type, params) {
  const response = await post(type, params);
  return response.json().catch((error) => {
    throw new UnreachableError(error);
  });
}

/** A request that is answered with thread stream events. */
export async function stream(type, params, signal) {
  const response = await post(type, params, signal);
  if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    throw new UnreachableError('a proxy answered instead of the server');
  }
  return openEventStream(response);
}

/** Uploads a file; resolves to its attachment. `onProgress` gets the share that has been sent. */
export async function upload(file, signal, onProgress) {
  const body = new FormData();
  body.append('file', file, file.name);
  listeners.set(signal, onProgress);
  const response = await request('/api/uploads', { method: 'POST', body, signal });
  return response.json();
}

/** `fetch` tells nothing of how far a body has been sent; its predecessor does. */
async function sendWithProgress(outgoing, signal) {
  const body = await outgoing.blob();
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(outgoing.method, outgoing.url);
    for (const [name, value] of outgoing.headers) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded, total }) => listeners.get(signal)?.(total ? loaded / total : 0);
    xhr.onload = () => resolve(new Response(xhr.response, { status: xhr.status, headers: { 'Content-Type': xhr.getResponseHeader('Content-Type') ?? '' } }));
    xhr.onerror = () => reject(new TypeError('The upload was cut off.'));
    xhr.onabort = () => reject(signal.reason);
    signal.addEventListener('abort', () => xhr.abort(), { once: true });
    xhr.responseType = 'blob';
    xhr.send(body);
  });
}

/** The stream of the run that is still going on in a thread, or null. */
export async function attach(threadId, lastEventId, signal) {
  const headers = lastEventId ? { 'Last-Event-ID': lastEventId } : {};
  try {
    const response = await request(`/api/threads/${encodeURIComponent(threadId)}/stream`, { headers, signal });
    return response.status === 204 ? null : openEventStream(response);
  } catch (error) {
    // A server without this route has nothing to come back to.
    if (error instanceof RefusedError && [404, 405].includes(error.status)) return null;
    throw error;
  }
}
