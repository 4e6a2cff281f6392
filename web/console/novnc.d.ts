/** The part of noVNC's API that is used here: its docs/API.md. */
declare module '@novnc/novnc' {
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, url: string | WebSocket, options?: { shared?: boolean })
    background: string
    scaleViewport: boolean
    focusOnClick: boolean
    compressionLevel: number
    qualityLevel: number
    disconnect(): void
    focus(options?: FocusOptions): void
    blur(): void
  }
}
