// grammY's echo bot as its documentation has it; with RUNNER=1 on its concurrent runner.
import { Bot } from "grammy";
import { run } from "@grammyjs/runner";

const bot = new Bot(process.env.BOT_API_TOKEN, { client: { apiRoot: process.env.TELEGRAM_API_URL } });
bot.on("message:text", (ctx) => ctx.reply(ctx.message.text));
if (process.env.RUNNER) run(bot);
else bot.start();
