/** The page of a machine elsewhere. */
import { initialiseTheme } from '../shared/theme.ts'
import { ConsoleView } from './console-view.ts'
import { Remote } from './remote.ts'

initialiseTheme()
const remote = new Remote()
const view = new ConsoleView(remote)
document.body.replaceChildren(view.element)
remote.connect()
