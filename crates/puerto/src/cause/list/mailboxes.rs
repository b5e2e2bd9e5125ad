//! Their mailboxes, and files.

/// Adds these to those before, and hands all to the next list.
macro_rules! mailboxes {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => {
        $next! {
            [$($rest)*]
            $($before)*

            // Mailboxes.
            MailboxLocked {} = "mailbox.locked"
                ["another program keeps the mailbox locked",
                 "otro programa tiene bloqueado el buzón"]
                => "puerto.local";
            MailboxFull { limit: u64 } = "mailbox.full"
                ["the mailbox is full: mailbox_size is {limit} octets",
                 "el buzón está lleno: mailbox_size son {limit} octetos"]
                => "generic.quota";
            MailboxReplaced { path: String } = "mailbox.replaced"
                ["{path} is replaced again and again",
                 "{path} se reemplaza una y otra vez"]
                => "puerto.local";
            MailboxIsLink { path: String } = "mailbox.is-link"
                ["{path} is a symbolic link",
                 "{path} es un enlace simbólico"]
                => "puerto.local";
            MailboxIsNoFile { path: String } = "mailbox.is-no-file"
                ["{path} is not a regular file",
                 "{path} no es un fichero normal"]
                => "puerto.local";
            MailboxHasNames { path: String } = "mailbox.has-names"
                ["{path} has several names: remove the other links",
                 "{path} tiene varios nombres: elimine los demás enlaces"]
                => "puerto.local";
            MailboxOfOther { path: String, user: String } = "mailbox.of-other"
                ["{path} does not belong to {user}: `chown {user}` it",
                 "{path} no pertenece a {user}: use `chown {user}`"]
                => "puerto.local";
            HomeMissing { home: String } = "mailbox.home-missing"
                ["the home directory {home} is missing",
                 "falta la carpeta personal {home}"]
                => "puerto.local";
            MailboxNotOpened { path: String, error: SystemError } = "mailbox.not-opened"
                ["cannot open {path}: {error}",
                 "no se puede abrir {path}: {error}"]
                => "puerto.local";
            MailboxNotWritten { path: String, error: SystemError } = "mailbox.not-written"
                ["cannot write {path}: {error}",
                 "no se puede escribir en {path}: {error}"]
                => "puerto.local";
            MaildirNotWritten { path: String, error: SystemError } = "mailbox.maildir-not-written"
                ["cannot write to {path}: {error}",
                 "no se puede escribir en {path}: {error}"]
                => "puerto.local";
            MailboxNotLocked { error: SystemError } = "mailbox.not-locked"
                ["cannot lock the mailbox: {error}",
                 "no se puede bloquear el buzón: {error}"]
                => "puerto.local";
            MailboxUnread { error: SystemError } = "mailbox.unread"
                ["cannot read the mailbox: {error}",
                 "no se puede leer el buzón: {error}"]
                => "puerto.local";
            ForwardUnread { error: SystemError } = "mailbox.forward-unread"
                ["cannot read .forward: {error}",
                 "no se puede leer .forward: {error}"]
                => "puerto.local";
            MessageNotTaken { error: SystemError } = "mailbox.message-not-taken"
                ["cannot take the message: {error}",
                 "no se puede recoger el mensaje: {error}"]
                => "puerto.local";
            MessageBrokenOff {} = "mailbox.message-broken-off"
                ["the queued message cannot be read",
                 "no se puede leer el mensaje de la cola"];
            MailboxSilent { user: String } = "mailbox.silent"
                ["the mailbox of {user} does not answer: is its disk there?",
                 "el buzón de {user} no responde: ¿está su disco?"]
                => "puerto.local";
            NotStartedAsRoot { we: u64, user: String } = "mailbox.not-started-as-root"
                ["puerto was started as user {we} and may not write the mailbox of {user}: start it as root, it then drops to `user`",
                 "puerto se inició como el usuario {we} y no puede escribir en el buzón de {user}: inícielo como root, y pasará después a `user`"];
            NotBecome { user: String, error: SystemError } = "mailbox.not-become"
                ["cannot become {user}: {error}",
                 "no se puede pasar a ser {user}: {error}"]
                => "puerto.local";
            StillRoot {} = "mailbox.still-root"
                ["root's rights could be taken back",
                 "se podrían recuperar los privilegios de root"];
            ProcessNotStarted { error: SystemError } = "mailbox.process-not-started"
                ["cannot start a mailbox process: {error}",
                 "no se puede iniciar un proceso de buzón: {error}"]
                => "puerto.local";
            ProcessEnded { user: String, error: SystemError } = "mailbox.process-ended"
                ["the mailbox process of {user} has ended: {error}",
                 "el proceso del buzón de {user} ha terminado: {error}"]
                => "puerto.local";
            AgentNotStarted { error: SystemError } = "mailbox.agent-not-started"
                ["cannot start the mailbox agent: {error}",
                 "no se puede iniciar el agente de los buzones: {error}"]
                => "puerto.local";
            AgentBusy {} = "mailbox.agent-busy"
                ["the mailbox agent is busy",
                 "el agente de los buzones está ocupado"]
                => "puerto.local";
            AgentEnded {} = "mailbox.agent-ended"
                ["the mailbox agent has ended: restart puerto to start it again",
                 "el agente de los buzones ha terminado: reinicie puerto para volver a iniciarlo"]
                => "puerto.local";
            NotForwarded { reply: String } = "local.not-forwarded"
                ["cannot forward it: {reply}",
                 "no se puede reenviar: {reply}"];
            CopyNotStored { why: SpoolError } = "local.copy-not-stored"
                ["cannot store the copy to forward: {why}",
                 "no se puede guardar la copia que reenviar: {why}"]
                => "puerto.local";
            NoLmtpClient {} = "lmtp.no-client"
                ["this program has no LMTP client",
                 "este programa no tiene cliente LMTP"];
            LmtpNoLonger {} = "lmtp.no-longer"
                ["the configuration has just changed",
                 "la configuración acaba de cambiar"];
            LmtpServerUnknown { server: String, error: SystemError } = "lmtp.server-unknown"
                ["the LMTP server {server} is not found: {error}",
                 "no se encuentra el servidor LMTP {server}: {error}"]
                => "puerto.local";
            LmtpServerSilent {} = "lmtp.server-silent"
                ["the LMTP server said nothing",
                 "el servidor LMTP no ha dicho nada"]
                => "puerto.local";

            // Files.
            FileUnread { file: String, error: SystemError } = "file.unread"
                ["{file} cannot be read: {error}",
                 "no se puede leer {file}: {error}"];
            NoRegularFile {} = "file.not-regular"
                ["it is not a regular file",
                 "no es un fichero normal"];
            NoSocket {} = "file.not-socket"
                ["something that is not a socket is in its place",
                 "en su lugar hay algo que no es un socket"];
            SocketTaken {} = "file.socket-taken"
                ["another server answers on it; stop that one first",
                 "otro servidor responde en él; deténgalo primero"];
            FolderOfOther { path: String, owner: String } = "file.folder-of-other"
                ["{path} belongs to {owner}, who could put another file in its place: as root, use a folder of root's",
                 "{path} es de {owner}, que podría poner otro fichero en su lugar: como root, use una carpeta de root"];
            FolderOpen { path: String } = "file.folder-open"
                ["others may write in {path} and could put another file in its place: chmod go-w {path}",
                 "otros pueden escribir en {path} y poner otro fichero en su lugar: chmod go-w {path}"];
            SecretExposed { path: String, mode: String } = "file.secret-exposed"
                ["{path} has mode {mode}: others can read or change the password; run: chmod o-rwx,g-w {path}",
                 "{path} tiene el modo {mode}: otros pueden leer o cambiar la contraseña; ejecute: chmod o-rwx,g-w {path}"];
        }
    };
}
