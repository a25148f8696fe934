// One user of the official JavaScript SDK, driven by JSON lines.
//
// The first argument is a JSON object {appId, authKey, config}. Each line on standard input is a call,
// {"id": 1, "call": "chat.dialog.create", "args": [{…}]}, answered by {"id": 1, "result": …} or {"id": 1, "error": …}.
// What the SDK reports by itself comes as {"event": "message", "args": […]}. The end of standard input ends the program.
import { createInterface } from 'node:readline';
import sdk from 'connectycube';

const cube = sdk.default ?? sdk;
const { appId, authKey, config } = JSON.parse(process.argv[2]);

let credentials = null; // with them, an expired session is renewed and the request tried again

function tell(line) {
  // An XML element (a message's `delay`) knows its parent, so it is told as text.
  const told = (_, value) => (value === undefined ? null : value?.attrs && value.children ? String(value) : value);
  process.stdout.write(JSON.stringify(line, told) + '\n');
}

function plain(error) {
  if (error instanceof Error) return { name: error.name, message: error.message, condition: error.condition ?? null };
  return error;
}

cube.init(
  { appId, authKey },
  {
    debug: { mode: 0 },
    ...config,
    on: {
      async sessionExpired(giveUp, retry) {
        tell({ event: 'sessionExpired', args: [] });
        if (credentials) retry(await cube.createSession(credentials));
        else giveUp();
      },
    },
  }
);

const listeners = {
  onMessageListener: 'message',
  onMessageErrorListener: 'messageError',
  onSentMessageCallback: 'sent',
  onDeliveredStatusListener: 'delivered',
  onReadStatusListener: 'read',
  onMessageTypingListener: 'typing',
  onMessageUpdateListener: 'edited',
  onMessageDeleteListener: 'deleted',
  onMessageReactionsListener: 'reacted',
  onSystemMessageListener: 'system',
  onLastUserActivityListener: 'lastActivity',
  onJoinOccupant: 'joined',
  onLeaveOccupant: 'left',
  onKickOccupant: 'kicked',
  onDisconnectedListener: 'disconnected',
  onReconnectListener: 'reconnected',
  onConnectionErrorListener: 'connectionError',
};
for (const [listener, event] of Object.entries(listeners)) {
  cube.chat[listener] = (...args) => tell({ event, args: args.map(plain) });
}

// Calls need a browser; what they tell each other does not. The SDK hands on each signal twice, the second time as XML.
cube.chat.webrtcSignalingProcessor = {
  onMessage: (userId, signal) => signal.getChildren || tell({ event: 'signal', args: [userId, signal] }),
};

const own = {
  renewWith: (params) => ((credentials = params), null),
  chatState: () => ({ connected: cube.chat.isConnected, jid: cube.chat.helpers.userCurrentJid }),
};

async function perform(path, args) {
  if (own[path]) return own[path](...args);
  const names = path.split('.');
  const method = names.pop();
  const holder = names.reduce((value, name) => value[name], cube);
  return holder[method](...args);
}

tell({ event: 'ready', args: [cube.version] });

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, args = [] } = JSON.parse(line);
  perform(call, args).then(
    (result) => tell({ id, result: result ?? null }),
    (error) => tell({ id, error: plain(error) ?? 'unknown error' })
  );
}
process.exit(0);
