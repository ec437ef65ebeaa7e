import type { ErrorDefinition } from '../errors.ts'

export const stagingErrors = {} as const satisfies Record<string, ErrorDefinition>
