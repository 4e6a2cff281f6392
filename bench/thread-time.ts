/** What threads have had of the processor, as Linux tells it (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs'

/** A file or folder of a process that may have ended meanwhile. */
function ofProcess<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** The processes that a process has started, and theirs. */
export function descendants(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    // What is called as it likes stands in brackets before the state and the parent.
    .filter(
      name =>
        ofProcess(() => readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[1], '') === `${pid}`,
    )
    .map(Number)
  return children.flatMap(child => [child, ...descendants(child)])
}

/** Seconds that the thread of this name has had which has had most. @throws Error where there is none */
export function threadTime(name: string, pids: readonly (number | 'self')[] = ['self']): number {
  const times = pids.flatMap(pid =>
    ofProcess(() => readdirSync(`/proc/${pid}/task`), []).map(task => {
      const folder = `/proc/${pid}/task/${task}`
      if (ofProcess(() => readFileSync(`${folder}/comm`, 'utf8').trim(), '') !== name) return -1
      return Number(ofProcess(() => readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0], '0')) / 1e9
    }),
  )
  const most = Math.max(-1, ...times)
  if (most < 0) throw new Error(`there is no thread named ${name}`)
  return most
}
