import type { ErrorDefinition } from '../errors.ts'

export const sourceErrors = {
  SOURCE_PROTOCOL_UNEXPECTED: {
    when: 'The source sent bytes that its protocol does not allow here, or of a kind not understood.',
    remedy:
      'Check that nothing between here and the server alters the connection; if it happens again, report the message and the server version as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_VALUE_MALFORMED: {
    when: 'The text of a cell does not read as a value of its column type.',
    remedy:
      'Refresh the table so that its column types are read anew; if it happens again, report the column type and the server version as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_OPTION_INVALID: {
    when: 'An option of a connection is missing, unknown or has a value that cannot be.',
    remedy: 'Correct the options of the connection in the resource file.',
    retry: 'never',
    exitCode: 2,
  },
  SOURCE_UNREACHABLE: {
    when: 'No connection to the source server could be made.',
    remedy: 'Check host, port, firewall and that the server is running.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_CONNECTION_LOST: {
    when: 'An established connection to the source ended in the middle of the work.',
    remedy:
      'Nothing, if the server restarted; else look into its log. Work goes on where it stopped.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_STALLED: {
    when: 'The source sent nothing for so long, in the middle of an answer, that it was asked on another connection: no answer would have come.',
    remedy:
      'Look for a proxy, firewall or address translation in between that forgets connections. Work goes on where it stopped.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_SERVER_CHANGED: {
    when: 'A new connection met another server than those before it, or the server was started anew; so the former ones were ended.',
    remedy:
      'Nothing after a failover or a restart: work goes on with the new server. If it happens again and again, host is a name that leads to several servers: list them one by one.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_TARGET_SESSION: {
    when: 'No server of the list is of the kind that target_session_attrs asks for.',
    remedy:
      'Wait until a failover is done, list all servers in the option host, or change target_session_attrs.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_PASSWORD_UNAVAILABLE: {
    when: 'The password could not be had: its file or command gave none.',
    remedy: 'Correct the option password_file, password_command or passfile of the connection.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_TLS_REFUSED: {
    when: 'The source server does not offer TLS, and the connection asks for it.',
    remedy: 'Turn TLS on at the server, or set sslmode to disable if the network is trusted.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_TLS_FAILED: {
    when: "The TLS handshake failed, or the server's certificate could not be verified.",
    remedy:
      'Set sslrootcert to the certificate authority of the server, and host to a name in its certificate.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_AUTHENTICATION_FAILED: {
    when: 'The source server refused user or password, or its pg_hba.conf has no entry for us.',
    remedy: 'Correct user and password of the connection, or add an entry to pg_hba.conf.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_AUTHENTICATION_UNSUPPORTED: {
    when: 'The server asks for a way of authentication that is unknown or unsafe on this connection.',
    remedy: 'Use scram-sha-256 in pg_hba.conf; a cleartext password is only ever sent over TLS.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_DATABASE_MISSING: {
    when: 'The database named in the connection does not exist.',
    remedy: 'Correct the option database of the connection.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PERMISSION_DENIED: {
    when: 'The user of the connection lacks a privilege.',
    remedy: 'Grant the privilege that the message names.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_TOO_MANY_CONNECTIONS: {
    when: 'The source server has no connection or WAL sender left.',
    remedy: 'Raise max_connections or max_wal_senders, or close other connections.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_POOLER: {
    when: 'A connection pooler answers instead of the server; replication needs the server itself.',
    remedy: "Set host and port to the server's own, not to the pooler's.",
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_QUERY_FAILED: {
    when: 'A statement that we sent to the source failed for a reason without a code of its own.',
    remedy: 'Look up the SQLSTATE in the message, and into the log of the server.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_VERSION_UNSUPPORTED: {
    when: 'The version of the source server is too old, or too old for a standby.',
    remedy: 'Use a primary of PostgreSQL 13 or newer, or a standby of 16 or newer.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_WAL_LEVEL: {
    when: 'wal_level of the source server is not logical.',
    remedy: 'ALTER SYSTEM SET wal_level = logical; -- then restart the server',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PLUGIN_REFUSED: {
    when: "The server's output_plugin_libraries does not list pgoutput.",
    remedy: "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput'; SELECT pg_reload_conf();",
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_ENCODING: {
    when: 'A text of the source cannot be read as UTF8: the database is SQL_ASCII, or holds a character that UTF8 has not.',
    remedy:
      'Correct the text in the source; keep new ones out by moving the database into one with encoding UTF8.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_REPLICATION_DENIED: {
    when: 'The user of the connection may not replicate.',
    remedy: 'ALTER ROLE <user> REPLICATION;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_NO_FREE_SLOT: {
    when: 'All replication slots or WAL senders of the source server are in use.',
    remedy: 'Raise max_replication_slots and max_wal_senders and restart, or drop unused slots.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_SLOT_TAKEN: {
    when: 'Another process reads from our replication slot, or the name belongs to another kind of slot.',
    remedy: 'Stop the other reader, or give this gateway a slot name of its own.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_SLOT_LEFT_BEHIND: {
    when: 'The server keeps log for a slot that nobody reads at the moment. It may be that of another data folder, whose gateway has the same name, or of a staging volume that is lost.',
    remedy:
      'Look first whether the gateway of another data folder reads it: SELECT active, confirmed_flush_lsn FROM pg_replication_slots; drop it only if no data folder needs it.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_SLOT_BLOCKED: {
    when: 'A slot or snapshot has to wait for transactions of the source that do not end.',
    remedy:
      "End the transactions that the message names: SELECT pg_terminate_backend(<pid>); a prepared one: ROLLBACK PREPARED '<name>';",
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_LOG_LOST: {
    when: 'The source no longer has the log after our position: the slot is gone, lost or ahead of us.',
    remedy: 'Raise max_slot_wal_keep_size if it was the cause. Run: sluice refresh --all --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_INCARNATION_CHANGED: {
    when: 'The source is not the one that was read before: another system, timeline, database or slot.',
    remedy:
      'Point the connection to the former server; or take this one, run: sluice refresh --all --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PUBLICATION_MISSING: {
    when: 'The publication does not exist and could not be created, or is gone at the place being read.',
    remedy: 'CREATE PUBLICATION <name> FOR TABLE <tables>;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PUBLICATION_INCOMPLETE: {
    when: 'The publication leaves out tables, operations, rows or columns, and we may not change it.',
    remedy: 'ALTER PUBLICATION <name> ADD TABLE <tables>;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PUBLICATION_CHANGED: {
    when: 'The publication was changed by somebody else, so changes of a table may be missing.',
    remedy: 'Nothing: the table is copied anew. Do not change the publication by hand.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_TABLE_MISSING: {
    when: 'A table does not exist in the source any more.',
    remedy: 'Remove the table from the pipeline, or create it again.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_TABLE_CHANGED: {
    when: 'The columns of a table changed between looking at it and copying it.',
    remedy: 'Nothing: the table is looked at again and copied with its new columns.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_TABLE_LOCKED: {
    when: 'Another session holds a lock on a table for longer than we wait.',
    remedy:
      'Wait until the session that the message names is done, or end it: SELECT pg_terminate_backend(<process>); The table is tried again by itself, and the others go on.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_TABLE_WITHOUT_KEY: {
    when: 'A table has neither a primary key nor a unique index as its replica identity.',
    remedy: 'ALTER TABLE <table> ADD PRIMARY KEY (<columns>);',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_PARTITION_TWICE: {
    when: 'A partition and the table it belongs to are both chosen, so its rows would be captured twice.',
    remedy: 'Remove one of them from the objects of the pipeline.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_TABLE_INHERITED: {
    when: 'Other tables inherit from a table (INHERITS); their rows are theirs alone.',
    remedy: 'Choose them as tables of their own, if their rows are wanted.',
    retry: 'never',
    exitCode: 1,
  },
  SOURCE_TABLE_UNSUPPORTED: {
    when: 'A table is of a kind whose changes cannot be read from the log.',
    remedy: 'Choose an ordinary, logged table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_REPLICA_IDENTITY: {
    when: 'The replica identity of a table does not identify its rows.',
    remedy: 'ALTER TABLE <table> REPLICA IDENTITY DEFAULT;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_ROW_SECURITY: {
    when: 'Row-level security hides rows of a table from the user of the connection.',
    remedy: 'ALTER ROLE <user> BYPASSRLS;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_COLUMN_NAMES_CLASH: {
    when: 'Two columns of a table have names that differ in case only.',
    remedy: 'ALTER TABLE <table> RENAME COLUMN <column> TO <other name>;',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_COLUMN_NOT_CAPTURED: {
    when: 'A column is generated by the source and does not appear in its log; it is left out.',
    remedy: 'Nothing, or replace the generated column by an ordinary one.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_SPOOL_FULL: {
    when: 'Transactions in progress at the source need more room on the disk of the gateway than there is or is allowed.',
    remedy:
      'Nothing: until the next start such transactions are read when they have committed. Free disk space, or raise sluice.transactions.spool of the gateway.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_SPOOL_FAILED: {
    when: 'Transactions in progress at the source could not be written to, or read from, the disk of the gateway.',
    remedy:
      'Nothing: until the next start such transactions are read when they have committed. Look into what is wrong with the folder that the message names.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_STANDBY_UNPREPARED: {
    when: 'The standby that is read does not keep its primary from removing what our slot needs.',
    remedy:
      'Set hot_standby_feedback = on and primary_slot_name on the standby, with that physical slot on the primary.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_STANDBY_STALL: {
    when: 'The source sends no changes because a standby that synchronized_standby_slots names is not there.',
    remedy:
      'Start the standby, or take its slot out of synchronized_standby_slots and reload the server.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_FAILOVER_UNPREPARED: {
    when: 'After a failover of the source its new primary could not go on where the old one stood.',
    remedy:
      'Mark the slot for failover, let standbys synchronise it (sync_replication_slots) and name them in synchronized_standby_slots.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_LOG_RETENTION: {
    when: 'The source keeps too little log, or so much that its disk may fill, while we do not read.',
    remedy: "ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf();",
    retry: 'after-remedy',
    exitCode: 1,
  },
  SOURCE_EVENT_TRIGGER: {
    when: 'The optional event triggers for schema changes are there, but not as this version needs them; changes are followed without them.',
    remedy: 'Run the statements that `sluice check` prints, as a superuser of the database.',
    retry: 'after-remedy',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
