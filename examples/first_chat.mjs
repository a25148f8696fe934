// A first chat from JavaScript: bob prints what comes and answers it. The argument is the demo's file.
import { readFileSync } from 'node:fs';
import ConnectyCube from 'connectycube';

const demo = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const bob = demo.users.find((user) => user.login === 'bob');

ConnectyCube.init(
  { appId: demo.app_id, authKey: demo.auth_key },
  {
    endpoints: {
      api: demo.chat_host,
      api_url: demo.api_url,
      chat: demo.chat_host,
      chat_url: demo.chat_url,
    },
    debug: { mode: 0 },
  }
);

ConnectyCube.chat.onMessageListener = (userId, message) => {
  console.log(`user ${userId}: ${message.body}`);
  ConnectyCube.chat.send(userId, {
    type: 'chat',
    body: 'Hello from JavaScript',
    extension: { save_to_history: 1, dialog_id: message.dialog_id },
  });
};

await ConnectyCube.createSession({ login: bob.login, password: bob.password });
await ConnectyCube.chat.connect({ userId: bob.id, password: bob.password });
console.log('connected; waiting for messages, stop with Ctrl-C');
