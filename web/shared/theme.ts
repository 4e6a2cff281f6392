/** Light, dark, or as the system is. */
import { button } from './dom.ts'
import type { IconName } from './icons.ts'

const KEY = 'typetwo.theme'
const THEMES = ['auto', 'light', 'dark'] as const
type Theme = (typeof THEMES)[number]

const ICONS: Record<Theme, IconName> = { auto: 'auto', light: 'sun', dark: 'moon' }
const LABELS: Record<Theme, string> = { auto: 'Colours: as the system', light: 'Colours: light', dark: 'Colours: dark' }

function current(): Theme {
  try {
    const kept = localStorage.getItem(KEY) as Theme
    return THEMES.includes(kept) ? kept : 'auto'
  } catch {
    return 'auto'
  }
}

function apply(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

/** Shows the page in the colours of the last visit. */
export function initialiseTheme(): void {
  apply(current())
}

/** The button that changes them. */
export function themeButton(): HTMLElement {
  let theme = current()
  const make = () =>
    button(LABELS[theme], {
      icon: ICONS[theme],
      kind: 'quiet',
      compact: true,
      onclick() {
        theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]
        apply(theme)
        try {
          localStorage.setItem(KEY, theme)
        } catch {
          // It holds for this visit.
        }
        const next = make()
        shown.replaceWith(next)
        shown = next
        shown.focus()
      },
    })
  let shown = make()
  return shown
}
