/** First bytes of the messages of pgoutput (PostgreSQL documentation, "Logical Replication Message Formats"). */
export const messageType = {
  begin: 66,
  commit: 67,
  delete: 68,
  insert: 73,
  message: 77,
  origin: 79,
  relation: 82,
  truncate: 84,
  update: 85,
  type: 89,
} as const
