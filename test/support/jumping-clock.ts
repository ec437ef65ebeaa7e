/**
 * Loaded before the product (`node --import`) by tests in which the wall clock must not matter: it
 * jumps at random moments, up to a day back or forth. Timers of the runtime are not touched.
 */
const real = Date.now.bind(Date)
const day = 86_400_000
let offset = 0

function jump(): void {
  offset = Math.floor((Math.random() * 2 - 1) * day)
  setTimeout(jump, 200 + Math.random() * 1500).unref()
}

Date.now = () => real() + offset
jump()
