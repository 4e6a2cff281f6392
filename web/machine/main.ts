/** The page in which machines run: what the browser lacks, the machine to put together, the machine that runs. */
import { missingForDisks, missingForMachines, tidyDisks } from '../../src/hosts/browser/index.ts'
import { complain, h } from '../shared/dom.ts'
import { icon } from '../shared/icons.ts'
import { initialiseTheme } from '../shared/theme.ts'
import { MachineView } from './machine-view.ts'
import { Model, type Start } from './model.ts'
import { SetupView } from './setup-view.ts'

const TITLE = document.title

/** Set for as long as the page has tried to isolate itself. */
const TRIED = 'typetwo.isolating'

/** Where the server sends no headers, a service worker adds them, and the page is loaded anew. @returns whether it will be */
async function isolate(): Promise<boolean> {
  if (crossOriginIsolated || !isSecureContext || !('serviceWorker' in navigator)) return false
  if (sessionStorage.getItem(TRIED)) return false
  try {
    sessionStorage.setItem(TRIED, 'yes')
    await navigator.serviceWorker.register('isolation.js')
    await navigator.serviceWorker.ready
    location.reload()
    return true
  } catch {
    return false
  }
}

/** Says what the browser lacks, and nothing else. */
function refuse(sentence: string): void {
  document.body.replaceChildren(
    h(
      'main',
      { class: 'lone', role: 'alert' },
      icon('warning'),
      h('h2', {}, 'No machine can run here'),
      h('p', {}, sentence),
    ),
  )
}

async function main(): Promise<void> {
  initialiseTheme()
  if (await isolate()) return
  const missing = missingForMachines()
  if (missing !== undefined) {
    refuse(missing)
    return
  }
  sessionStorage.removeItem(TRIED)
  const noDisks = await missingForDisks()
  if (noDisks === undefined) tidyDisks().catch(complain)
  const model = new Model()
  const setup = new SetupView(model, { noDisks, start })
  let running: MachineView | undefined

  function show(element: HTMLElement, title = TITLE): void {
    // What was said of the other view is over.
    document.body.replaceChildren(element)
    document.title = title
  }

  async function start(what: Start): Promise<void> {
    const view = new MachineView(what, {
      back() {
        running = undefined
        show(setup.element)
        setup.update()
      },
    })
    running = view
    show(view.element, `${what.title} in typetwo`)
    await view.start()
  }

  addEventListener('beforeunload', event => {
    if (running?.isAlive) event.preventDefault()
  })
  show(setup.element)
  setup.update()
}

main().catch(error => refuse((error as Error).message))
