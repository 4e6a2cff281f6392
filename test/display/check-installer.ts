/** Debian's installer, by its screens. */
import type { Check } from './checks.ts'

export function installerText(architecture: 'amd64' | 'i386'): Check {
  return { name: `installer-text-${architecture}`, how: '', shows: '', async use() {} }
}
export function installerGtk(architecture: 'amd64' | 'i386'): Check {
  return { name: `installer-gtk-${architecture}`, how: '', shows: '', async use() {} }
}
