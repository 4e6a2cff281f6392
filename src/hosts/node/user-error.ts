/** An error whose message is one sentence for the person at the terminal: what is wrong, where, and what to do. */
export class UserError extends Error {
  override readonly name = 'UserError'
}

const REASONS: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EEXIST: 'something else is there',
  EIO: 'the disk reports an error',
  ELOOP: 'its symbolic links go in a circle',
  ENAMETOOLONG: 'its name is too long',
  EADDRINUSE: 'it is in use',
  EADDRNOTAVAIL: 'this host has no such address',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the other side broke off',
  EPIPE: 'the other side is gone',
  ENOTFOUND: "the host's name is not known",
  EAI_AGAIN: "the host's name cannot be looked up now",
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'it does not answer',
}

/** The system's reason for a failed call, in words; the error's own message where we have none. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return (code && REASONS[code]) || (error instanceof Error ? error.message : String(error))
}
