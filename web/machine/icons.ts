/** The icons that all pages have, and those that only this one needs: strokes on a grid of 24. */
import { type IconName as SharedName, icon as sharedIcon } from '../shared/icons.ts'

const PATHS = {
  mouse: '<rect x="6.5" y="3" width="11" height="18" rx="5.5"/><path d="M12 7v3.5"/>',
  plus: '<path d="M12 5v14M5 12h14"/>',
  trash: '<path d="M4 7h16M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.400l.8-12.5M10.200 11v5M13.800 11v5"/>',
  chip: '<rect x="6" y="6" width="12" height="12" rx="1.5"/><path d="M9.5 2.5V6M14.5 2.5V6M9.5 18v3.5M14.5 18v3.5M2.5 9.5H6M2.5 14.5H6M18 9.5h3.5M18 14.5h3.5"/>',
  back: '<path d="M19 12H5M11 6l-6 6 6 6"/>',
  moon: '<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>',
  auto: '<circle cx="12" cy="12" r="8.5"/><path d="M12 3.5v17a8.5 8.5 0 0 0 0-17z" fill="currentcolor"/>',
  layers: '<path d="m12 4 8.5 4.5L12 13 3.5 8.5z"/><path d="m4 13.5 8 4.300 8-4.300"/>',
} as const

/** The name of an icon. */
export type IconName = SharedName | keyof typeof PATHS

/** An icon as an element, hidden from those who listen. */
export function icon(name: IconName): SVGSVGElement {
  if (!(name in PATHS)) return sharedIcon(name as SharedName)
  const svg = sharedIcon('close')
  svg.innerHTML = PATHS[name as keyof typeof PATHS]
  return svg
}
