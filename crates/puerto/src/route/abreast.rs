//! Questions that are asked side by side, but not all at once: each takes a socket.

use tokio::task::JoinSet;

/// How many are.
const AT_ONCE: usize = 5;

/// The answers, in the order of the questions; `None` for one that broke off.
pub(super) async fn abreast<Q>(questions: Vec<Q>) -> Vec<Option<Q::Output>>
where
    Q: Future<Output: Send + 'static> + Send + 'static,
{
    let mut left = questions.into_iter().enumerate();
    let (mut asked, mut answers) = (JoinSet::new(), Vec::new());
    loop {
        let room = AT_ONCE.saturating_sub(asked.len());
        for (index, question) in left.by_ref().take(room) {
            answers.push(None);
            asked.spawn(async move { (index, question.await) });
        }
        match asked.join_next().await {
            Some(Ok((index, answer))) => {
                if let Some(place) = answers.get_mut(index) {
                    *place = Some(answer);
                }
            }
            Some(Err(_)) => {}
            None => return answers,
        }
    }
}
