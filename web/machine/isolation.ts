/**
 * A service worker for servers that cannot send headers: it adds those that isolate the page to whatever it gets from there. The
 * page starts it, and loads itself anew, only where it finds itself not isolated.
 */
interface Scope {
  skipWaiting(): Promise<void>
  clients: { claim(): Promise<void> }
  addEventListener(
    type: string,
    listener: (event: FetchEvent & { waitUntil(promise: Promise<unknown>): void }) => void,
  ): void
}

interface FetchEvent extends Event {
  request: Request
  respondWith(response: Promise<Response>): void
}

const scope = globalThis as unknown as Scope

scope.addEventListener('install', event => event.waitUntil(scope.skipWaiting()))
scope.addEventListener('activate', event => event.waitUntil(scope.clients.claim()))

scope.addEventListener('fetch', event => {
  const { request } = event
  if (new URL(request.url).origin !== location.origin) return
  event.respondWith(
    fetch(request).then(response => {
      if (response.status === 0) return response
      const headers = new Headers(response.headers)
      headers.set('Cross-Origin-Opener-Policy', 'same-origin')
      headers.set('Cross-Origin-Embedder-Policy', 'require-corp')
      headers.set('Cross-Origin-Resource-Policy', 'same-origin')
      const hasBody = response.status !== 204 && response.status !== 304
      return new Response(hasBody ? response.body : null, {
        status: response.status,
        statusText: response.statusText,
        headers,
      })
    }),
  )
})
