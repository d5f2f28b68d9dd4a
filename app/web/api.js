/**
 * A `fetch` for chatkit-js (and for this page) that knows two things the plain one does not:
 * who is calling (a client secret from your session endpoint) and what Stop means.
 *
 * Copy this file into your frontend; it depends on nothing.
 *
 *   const chatkitFetch = createChatKitFetch({ sessionUrl: '/api/chatkit/session' });
 *   chatkit.setOptions({ api: { url: '/chatkit', domainKey: 'local', fetch: chatkitFetch } });
 *
 * @param {object} options
 * @param {string} options.sessionUrl  where client secrets are minted
 * @param {(runId: string) => string} [options.cancelUrl]  where a run is stopped, relative to sessionUrl
 * @param {RequestInit} [options.sessionInit]  merged into the mint request (a CSRF header, credentials)
 * @param {typeof fetch} [options.fetch]  the fetch underneath, for tests
 * @returns {typeof fetch}
 */
export function createChatKitFetch({
  sessionUrl,
  cancelUrl = (runId) => `/api/runs/${encodeURIComponent(runId)}/cancel`,
  sessionInit = {},
  fetch: send = (...args) => globalThis.fetch(...args),
}) {
  const RENEW_EARLY_MS = 60_000;
  const base = new URL(sessionUrl, location.href);
  let session = null; // { secret, staleAt }
  let minting = null; // shared, so that ten requests at page load mint one secret

  /** Resolves to null, or to the session endpoint's refusal. */
  async function mint(old) {
    const response = await send(base, {
      method: 'POST',
      credentials: 'same-origin',
      ...sessionInit,
      headers: { ...sessionInit.headers, 'Content-Type': 'application/json' },
      body: JSON.stringify(old ? { client_secret: old } : {}),
    });
    // A secret that can no longer be refreshed is no reason to give up: ask for a new one.
    if (old && [400, 401, 403, 404].includes(response.status)) return mint(null);
    if (!response.ok) return response;
    const { client_secret: secret, expires_at: expiresAt } = await response.json();
    const left = expiresAt * 1000 - Date.now();
    // A fresh secret that looks almost expired means that this computer's clock is wrong.
    // Renewing on it would mint for every request, so then only a 401 renews.
    session = { secret, staleAt: left > 2 * RENEW_EARLY_MS ? Date.now() + left - RENEW_EARLY_MS : Infinity };
    return null;
  }

  const renew = (old) => (minting ??= mint(old).finally(() => (minting = null)));

  /** Sends one request whose abort also ends the run on the server. */
  function sendStoppable(request, signal, secret) {
    const type = request.headers.get('Content-Type') ?? '';
    const mayStream = request.method === 'GET' || type.includes('json');
    if (!signal || !mayStream) return send(request, { signal });
    // The socket is closed only when the answer's header is here: it names the run. Until then
    // the caller already has its AbortError, and the server must still learn of the Stop.
    const socket = new AbortController();
    const answer = send(request, { signal: socket.signal });
    const stop = async () => {
      const runId = (await answer).headers.get('X-ChatKit-Run');
      socket.abort(signal.reason);
      if (!runId) return;
      await send(new URL(cancelUrl(runId), base), {
        method: 'POST',
        headers: { Authorization: `Bearer ${secret}` },
        keepalive: true, // Stop and an immediate close of the tab is still a Stop
      });
    };
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        reject(signal.reason);
        stop().catch(() => {}); // a server without that route, or a run that has just ended
      };
      signal.addEventListener('abort', onAbort, { once: true });
      answer.then(resolve, reject);
    });
  }

  return async function chatkitFetch(input, init = {}) {
    const url = new URL(input instanceof Request ? input.url : input, location.href);
    // Uploads may go straight to an object store: it must not see, and often refuses, our secret.
    if (url.origin !== base.origin) return send(input, init);
    const signal = init.signal ?? (input instanceof Request ? input.signal : null);
    const request = new Request(input, { ...init, signal: null }); // the abort is ours to handle
    for (let attempt = 0; ; attempt += 1) {
      signal?.throwIfAborted();
      if (!session || Date.now() > session.staleAt) {
        const refusal = await renew(session?.secret);
        if (refusal) return refusal.clone(); // looks to the caller like any other HTTP error
      }
      const { secret } = session;
      const copy = request.clone(); // a body can be sent once, a retry needs another
      copy.headers.set('Authorization', `Bearer ${secret}`);
      // The promise that makes a closed tab harmless: from now on only our cancel call means Stop.
      copy.headers.set('X-ChatKit-Stop', 'explicit');
      const response = await sendStoppable(copy, signal, secret);
      if (response.status !== 401 || attempt > 0) return response;
      if (session?.secret === secret) session = null; // unless another request has renewed it
    }
  };
}
