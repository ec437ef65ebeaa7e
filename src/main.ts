/** Composition root, read it first: the product is put together in `app/`, the commands only see `App`. */
export { openApp } from './app/open-app.ts'
