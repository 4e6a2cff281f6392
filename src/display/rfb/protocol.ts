/** Numbers of the RFB protocol: RFC 6143, and the registry and extensions of the community's rfbproto.rst. */

/** Security types. */
export const SECURITY = { invalid: 0, none: 1, vncAuthentication: 2, veNCrypt: 19 } as const

/** Subtypes of VeNCrypt: TLS with the server's X.509 certificate, and what comes inside. */
export const VENCRYPT = { x509None: 260, x509Vnc: 261 } as const

/** Messages of the client. */
export const CLIENT_MESSAGE = {
  setPixelFormat: 0,
  setEncodings: 2,
  framebufferUpdateRequest: 3,
  keyEvent: 4,
  pointerEvent: 5,
  clientCutText: 6,
  enableContinuousUpdates: 150,
  clientFence: 248,
  setDesktopSize: 251,
  qemu: 255,
} as const

/** Messages of the server. */
export const SERVER_MESSAGE = {
  framebufferUpdate: 0,
  setColourMapEntries: 1,
  endOfContinuousUpdates: 150,
  serverFence: 248,
} as const

/** Encodings of rectangles, and pseudo-encodings, with which a client says what it can do. */
export const ENCODING = {
  raw: 0,
  copyRect: 1,
  hextile: 5,
  tight: 7,
  zrle: 16,
  desktopSize: -223,
  lastRect: -224,
  cursor: -239,
  /** -256 to -247: levels 0 to 9. */
  compressionLevel0: -256,
  compressionLevel9: -247,
  qemuExtendedKeyEvent: -258,
  desktopName: -307,
  extendedDesktopSize: -308,
  fence: -312,
  continuousUpdates: -313,
} as const

/** Flags of a fence. */
export const FENCE = { blockBefore: 1, blockAfter: 2, syncNext: 4, request: 0x8000_0000 } as const

/** Why ExtendedDesktopSize is sent: in its x. */
export const SIZE_REASON = { server: 0, client: 1 } as const

/** What became of a client's wish for a size: in ExtendedDesktopSize's y. */
export const SIZE_STATUS = { ok: 0, prohibited: 1, forwarded: 4 } as const

/** The peer does not follow the protocol; the message says where. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}
