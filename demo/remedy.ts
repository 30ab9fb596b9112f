/** The remedy for a failure of the demo; empty if the message already has it. */
export function remedyOf(message: string): string {
  if (/EADDRINUSE|address already in use/i.test(message)) {
    return 'Another program took the port at the same moment: start the demo again.';
  }
  if (/ended by SIGKILL/.test(message)) {
    return 'If you did not stop it, the kernel killed it for lack of memory: try --services 100.';
  }
  if (/inotify|EMFILE|too many open files/i.test(message)) {
    return 'Envoy watches files by inotify: raise fs.inotify.max_user_instances, or use fewer ports.';
  }
  if (/ended with \d+|not ready within|waited \d+ s for/.test(message)) {
    return 'A machine that is very busy may need a smaller mesh: try --services 100.';
  }
  return '';
}
