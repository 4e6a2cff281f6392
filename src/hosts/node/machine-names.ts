/** Names for machines that were given none. */
const QUALITIES =
  'amber bold brave brisk bright calm clear clever cool crisp deep eager early fair fast fine fond free gentle glad grand green happy keen kind late light lucky mild neat nimble noble plain proud quick quiet ready red round sharp silent silver sleek small smooth snug soft solid spry still stout sunny swift tall tidy warm wise witty young'
const BEINGS =
  'badger bear beaver bison bream carp cat cod crab crane crow deer dove duck eagle eel elk falcon finch fox frog gecko goat goose hare hawk heron horse ibex jay kite koala lark lemur lion lynx magpie mole moose moth mouse newt otter owl panda pike puma quail raven robin salmon seal shrew sloth snail stork swan tern toad trout vole weasel whale wolf wren yak zebra'

/** A name that somebody may remember, as `quiet-otter`. */
export function makeUpName(): string {
  const pick = (words: string) => {
    const all = words.split(' ')
    return all[Math.floor(Math.random() * all.length)]
  }
  return `${pick(QUALITIES)}-${pick(BEINGS)}`
}
